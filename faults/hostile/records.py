"""Records that mean harm."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from faults.cases import Seen, case, human, run, seen, sound
from faults.tools import FILTERS, words_of

if TYPE_CHECKING:
    pass


_HUGE = "9" * 5000


def _hostile_lines() -> list[bytes]:
    plain = [
        {"__class__": "os.system", "__init__": {"__globals__": 1}, "text": "dunders"},
        {"": 1, " ": 2, "a.b": 3, "a": {"b": 4}, "text": "names that other formats part"},
        {"text": "a path for a name", "id": "../../../outside", "file": "/etc/passwd"},
        {"text": "=cmd|'/c calc'!A0", "id": "-rf", "$ref": "file:///etc/passwd"},
        {"text": "{{ 7 * 7 }} ${7*7} %s %n {0.__class__} <script>alert(1)</script>"},
        {"text": "\u202eevil\u2066 \x1b]0;title\x07\x1b[2J \x00 \x9b31m"},
        {"text": "many names", **{f"name-{i}": i for i in range(2000)}},
        {"text": "constructor", "constructor": {"prototype": 1}, "__proto__": {"x": 1}},
    ]
    lines = [json.dumps(one, ensure_ascii=False).encode() for one in plain]
    lines += [
        b'{"text": "huge numbers", "n": %s, "e": 1e999999, "m": -0.0}' % _HUGE.encode()[:4000]
    ]
    lines += [b'{"text": "half a pair elsewhere", "other": "\\ud800"}']
    lines += [b'{"text": "deep", "deep": ' + b"[" * 200 + b"]" * 200 + b"}"]
    return lines


@case("field names such as __class__, paths as ids, huge numbers, markup, escapes")
def hostile_records(folder: Path) -> Seen:
    data = folder / "data"
    data.mkdir()
    path = data / "hostile.jsonl"
    lines = _hostile_lines()
    path.write_bytes(b"\n".join(lines) + b"\n")
    out = folder / "out"
    for tool in ("cat", "mix", "sample", "dsir", "ngram-hash"):
        options = words_of(tool, path)
        if tool == "sample":
            options[2] = len(lines)
        if tool == "dsir":
            options[options.index("-n") + 1] = len(lines)
        done = run(*options[:1], "-o", out / "", *options[1:])
        seen(done, code=0)
        nothing = sorted(p.name for p in folder.iterdir()) == ["data", "out"]
        sound(nothing and len(list(out.iterdir())) == 2, f"{tool}: wrote elsewhere")
        told = (out / "part-00000.jsonl").read_bytes()
        for line in lines:
            sound(line.rstrip(b"}") in told, f"{tool}: a record is not passed on: {line[:60]!r}")
        shutil.rmtree(out)
    parquet = folder / "a.parquet"
    seen(run("cat", path, "-o", parquet), code=0)
    back = run("cat", parquet)
    seen(back, code=0)
    found = back.stdout.splitlines()
    sound(len(found) == len(lines), "records are gone on the way through Parquet")
    parquet.unlink()
    return Seen()


@case("nesting of a million lists, numbers of a million digits")
def deep_records(folder: Path) -> Seen:
    data = folder / "deep.jsonl"
    deep = b'{"text": "a", "x": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}\n"
    objects = b'{"text": "a", "x": ' + b'{"a":' * 300_000 + b"1" + b"}" * 300_000 + b"}\n"
    digits = b'{"text": "a", "x": ' + b"7" * 1_000_000 + b"}\n"
    result = Seen()
    for line in (deep, objects, digits):
        data.write_bytes(b'{"text": "sound"}\n' + line)
        for tool in ("cat", "sample", "ngram-hash", "stats"):
            words = ["stats", data] if tool == "stats" else words_of(tool, data)
            form = ["-o", folder / "o.parquet"] if tool == "cat" else []
            done = run(*words[:1], *form, *words[1:], stdout=subprocess.DEVNULL)
            if done.returncode:
                result = seen(done, "deep.jsonl:2:")
            (folder / "o.parquet").unlink(missing_ok=True)
    # Between what one parser and the next can read.
    for depth in (253, 254, 255, 500, 900, 990, 1000, 1023, 1024, 1025):
        data.write_bytes(b'{"text": "a", "x": ' + b"[" * depth + b"]" * depth + b"}\n")
        for words in (
            ["cat", data],
            ["cat", data, "-o", folder / "o.parquet", "--force"],
            ["cat", data, "-o", folder / "o.arrow", "--force"],
            ["cat", data, "--select", "x"],
        ):
            done = run(*words)
            seen(done, code=done.returncode)
            sound(done.returncode in (0, 1), f"exit code {done.returncode}")
            if done.returncode == 0 and "-o" in words:
                back = run("cat", words[3])
                seen(back, code=0)
                sound(
                    b"[" * depth + b"]" * depth in back.stdout, f"depth {depth} came back otherwise"
                )
    return result


@case("lone surrogates as text: told, and set aside with --on-error skip")
def surrogates(folder: Path) -> Seen:
    data, rejects = folder / "s.jsonl", folder / "bad.jsonl"
    data.write_bytes(b'{"text": "sound"}\n{"text": "half \\ud800"}\n')
    for tool in ("ngram-hash", "cat", "stats"):
        words = ["stats", data] if tool == "stats" else words_of(tool, data)
        if tool == "cat":  # passes it on as it is, and keeps it on the way through Parquet
            seen(run("cat", data, "-o", folder / "s.parquet", "--force"), code=0)
            sound(
                b'"half \\ud800"' in run("cat", folder / "s.parquet").stdout,
                "it came back otherwise",
            )
            continue
        result = seen(run(*words), "s.jsonl:2:", "half of a surrogate pair")
        skip = ["--on-error", "skip", "--rejects", rejects]
        done = run(*words[:1], *skip, *words[1:])
        seen(done, "1 skipped", code=0)
        entry = json.loads(rejects.read_bytes())
        sound(entry["raw"] == '{"text": "half \\ud800"}', "the record is not kept")
    return result


@case("every model tool over hostile records")
def hostile_records_to_models(folder: Path) -> Seen:
    path = folder / "hostile.jsonl"
    lines = _hostile_lines()
    path.write_bytes(b"\n".join(lines) + b"\n")
    for tool in ("ppl", "edit", "embed", "generate"):
        done = run(*words_of(tool, path))
        seen(done, code=0)
        sound(done.stdout.count(b"\n") == len(lines), f"{tool}: records are gone")
    sound(set(FILTERS) >= {"ppl", "edit"}, "tools")
    return Seen()


@case("a page of a report whose names are markup")
def markup_in_a_page(folder: Path) -> Seen:
    data = folder / "<img src=x onerror=alert(1)>.jsonl"
    human(folder, 5).rename(data)
    report, page = folder / "r.json", folder / "page.html"
    seen(run("stats", data, "--report", report, stdout=subprocess.DEVNULL), code=0)
    seen(run("plot", report, "-o", page), code=0)
    sound("<img" not in page.read_text(), "markup of a name stands in the page")
    return Seen()
