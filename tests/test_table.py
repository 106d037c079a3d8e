"""``synth table``: files by patterns, rows joined, tables in words, and what users do wrong."""

import json
import os
import re

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

import running
from synthtools.cli.app import build
from synthtools.errors import SynthError, UsageError
from synthtools.measure.repetitions import estimate
from synthtools.records.file_patterns import matching, names_of
from synthtools.reports.table import between, markdown, replaced, with_reach

TRAIN = "models/{share}-{seed}/training/report.json"
EVAL = "eval/{share}-{seed}.json"
TAKES = ["--take", "novels=valid.novels", "--take", "ece=suites.arc.figures.ece"]


def novels(share, seed):
    return 20 + share / 20 + seed * (1 + share / 1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Reports of twelve trainings, and of the evaluations of eleven."""
    path = tmp_path_factory.mktemp("table")
    (path / "eval").mkdir()
    for share in (0, 25, 50, 100):
        for seed in range(3):
            here = path / f"models/{share}-{seed}/training"
            here.mkdir(parents=True)
            report = {"kind": "train", "valid": {"novels": novels(share, seed)}, "made_by": {}}
            (here / "report.json").write_text(json.dumps(report, indent=2))
            figures = {"figures": {"ece": 0.1 + seed / 100}}
            report = {"kind": "eval", "suites": {"arc": figures}, "made_by": {}}
            if (share, seed) != (50, 2):
                (path / f"eval/{share}-{seed}.json").write_text(json.dumps(report))
    (path / "page.md").write_text("# Title\n<!-- mixtures -->\nold\n<!-- /mixtures -->\nend")
    return path


@pytest.fixture
def table(folder, monkeypatch, tmp_path):
    """Runs the command line in this process: the report."""
    monkeypatch.chdir(folder)

    def run(*words, keep=tmp_path / "report.json"):
        command = typer.main.get_command(build())
        command(["table", *map(str, words), "--report", str(keep)], standalone_mode=False)
        return json.loads(keep.read_text())

    return run


def test_reports_are_joined_and_grouped(table):
    report = table(TRAIN, EVAL, *TAKES)
    assert (report["by"], report["over"], len(report["rows"])) == (["share"], ["seed"], 12)
    assert [group["fields"]["share"] for group in report["groups"]] == [0, 25, 50, 100]
    for group in report["groups"]:
        share = group["fields"]["share"]
        expected = estimate(novels(share, seed) for seed in range(3))
        assert group["values"]["novels"] == pytest.approx(expected)
        assert group["values"]["ece"]["n"] == (2 if share == 50 else 3)
    (lacking,) = [row for row in report["rows"] if row["ece"] is None]
    assert (lacking["share"], lacking["seed"], lacking["novels"]) == (50, 2, novels(50, 2))
    assert report["made_by"]["counts"] == {"files": 23, "rows": 12, "groups": 4}
    assert len(report["made_by"]["inputs"]) == 23


def test_the_order_of_patterns_changes_no_number(table):
    one, other = table(TRAIN, EVAL, *TAKES), table(EVAL, TRAIN, *TAKES)
    assert one["groups"] == other["groups"]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".jsonl.zst"])
def test_rows_are_records_that_are_read_again(table, tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    claim = "Rises: novels[share=0] < novels[share=100]"
    report = table(TRAIN, EVAL, *TAKES, "--rows", path, "--claim", claim)
    again = table(path, "--by", "share", "--claim", claim)
    assert again["groups"] == report["groups"] and again["names"] == ["novels", "ece"]
    assert report["rows"][0] == {"share": 0, "seed": 0, "novels": 20.0, "ece": 0.1}
    assert again["claims"] == report["claims"] and again["claims"][0]["verdict"] == "reproduced"
    taken = table(path, "--take", "n=novels", "--by", "share")
    assert taken["groups"][1]["values"]["n"] == report["groups"][1]["values"]["novels"]
    with pytest.raises(SynthError, match="--force"):
        table(TRAIN, EVAL, *TAKES, "--rows", path)


def test_a_table_is_a_report_to_take_from(table, tmp_path):
    report = table(TRAIN, EVAL, *TAKES, keep=tmp_path / "first.json")
    path = 'm=groups[name="share=25"].values.novels.mean'
    again = table(tmp_path / "first.json", "--take", path)
    assert again["rows"] == [{"m": report["groups"][1]["values"]["novels"]["mean"]}]
    assert again["by"] == [] and again["groups"][0]["name"] == "all"


def test_one_path_of_two_files_has_two_names(table, tmp_path):
    for name, value in (("a", 1), ("b", 2)):
        for seed in (0, 1):
            report = {"kind": "ppl-summary", "x@y": value * 10 + seed, "made_by": {}}
            (tmp_path / f"{seed}-{name}.json").write_text(json.dumps(report))
    patterns = [f"{tmp_path}/{{seed}}-{name}.json" for name in "ab"]
    words = ["--take", 'a="x@y"@*-a.json', "--take", "b=x@y@*/?-b.json"]
    report = table(*patterns, *words, "--claim", "b > a")
    assert report["rows"] == [{"seed": s, "a": 10 + s, "b": 20 + s} for s in (0, 1)]
    assert report["claims"][0]["difference"]["low"] == 10
    with pytest.raises(SynthError, match=r"c=x@y@\*-c.json: no report has this path"):
        table(*patterns, "--take", "c=x@y@*-c.json")
    with pytest.raises(
        SynthError, match="x of seed=0 is 10 in .*0-a.json and 20 in .*0-b.json; take"
    ):
        table(*patterns, "--take", 'x="x@y"')


def test_a_value_that_no_row_has_is_a_value(table, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"seed": {n}, "a": {n}, "b": null}}\n' for n in range(3)))
    report = table(path, "--by", "", "--claim", "b is more: b > a")
    assert report["names"] == ["a", "b"]
    assert report["claims"][0]["verdict"] == "inconclusive"
    assert report["claims"][0]["reason"] == "no repetition has all of these values"


def test_claims_are_untested_above_a_floor_or_on_request(table, tmp_path):
    claim = ["--claim", "Rises: novels[share=0] < novels[share=100]"]
    page = tmp_path / "page.md"
    words = [TRAIN, EVAL, *TAKES, *claim, "--markdown", page, "--force"]
    # Every perplexity is above the calibration error.
    (found,) = table(*words, "--floor", "novels=ece")["claims"]
    assert found["verdict"] == "untested"
    assert "| untested: novels of share=0 is not below ece |" in page.read_text()
    assert table(*words, "--floor", "ece=novels")["claims"][0]["verdict"] == "reproduced"
    assert table(*words, "--floor", "ece>0.99")["claims"][0]["verdict"] == "reproduced"
    assert table(*words, "--floor", "novels>1e9")["claims"][0]["verdict"] == "untested"
    assert table(*words, "--untested", "a trial")["claims"][0]["reason"] == "a trial"
    with pytest.raises(UsageError, match="--floor unigram: no such value"):
        table(*words, "--floor", "novels=unigram")


def test_records_carry_what_is_no_number(table, tmp_path):
    path = tmp_path / "runs.jsonl"
    records = [
        {"m": m, "seed": s, "ok": s > 0, "x": s, "note": "n"} for m in ("b", "a") for s in (0, 1)
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    report = table(path, "--by", "m")
    assert report["names"] == ["ok", "x"] and [g["name"] for g in report["groups"]] == [
        "m=a",
        "m=b",
    ]
    assert report["groups"][0]["values"]["ok"]["mean"] == 0.5
    assert report["rows"][1] == {"m": "b", "seed": 1, "ok": 1, "x": 1, "note": "n"}


def test_markdown_takes_the_place_of_a_section(table, folder, tmp_path):
    page = tmp_path / "page.md"
    page.write_bytes((folder / "page.md").read_bytes())
    words = [TRAIN, EVAL, *TAKES, "--markdown", page, "--section", "mixtures"]
    claims = ["--claim", "A | B: novels[share=0] < novels[share=25] < novels[share=100]"]
    table(*words, *claims)
    first = page.read_text()
    assert first.startswith(
        "# Title\n<!-- mixtures -->\n\n| share | n | novels | ece |\n| --- | ---: |"
    )
    assert first.endswith("reproduced |\n\n<!-- /mixtures -->\nend")
    assert "| 0 | 3 | 21.0 ± 2.5 | 0.110 ± 0.025 |\n| 25 | 3 |" in first
    assert " | 0.105 ± 0.064 (n = 2) |\n| 100 | 3 |" in first
    assert (
        "| A \\| B | 1.275 [1.213, 1.337] (novels[share=0] \\< novels[share=25]) | 3 | reproduced |"
        in first
    )
    table(*words, *claims)
    assert page.read_text() == first
    table(*words, "--columns", "ece", "--pivot", "share")
    assert "| n | share=0 | share=25 | share=50 | share=100 |" in page.read_text()
    alone = tmp_path / "alone.md"
    table(TRAIN, EVAL, *TAKES, "--markdown", alone)
    assert alone.read_text().startswith("| share | n |")
    with pytest.raises(SynthError, match="--force"):
        table(TRAIN, EVAL, *TAKES, "--markdown", alone)
    table(TRAIN, EVAL, *TAKES, "--markdown", alone, "--force", "--columns", "ece")
    assert "novels" not in alone.read_text()


def test_a_section_is_replaced_and_nothing_else():
    page = b"a\r\n <!-- x -->\r\nold\r\n\r\n<!-- /x -->\r\n\xff<!-- y -->\n"
    found = replaced(page, "x", "new\nlines\n", "f")
    assert found == b"a\r\n <!-- x -->\r\n\r\nnew\r\nlines\r\n\r\n<!-- /x -->\r\n\xff<!-- y -->\n"
    for content, words in (
        (b"", "no line <!-- x -->"),
        (b"<!-- x -->\n", "no line <!-- /x -->"),
        (b"<!-- x -->\n<!-- x -->\n<!-- /x -->\n", "2 lines <!-- x -->"),
        (b"<!-- /x -->\n<!-- x -->\n", "comes before"),
    ):
        with pytest.raises(SynthError, match=words):
            replaced(content, "x", "", "f")
    with pytest.raises(UsageError):
        replaced(page, "a --> b", "", "f")


@pytest.mark.parametrize(
    "values, shown, ends",
    [
        ([12.3, 12.4, 12.5], "12.40 ± 0.25", "12.40 [12.15, 12.65]"),
        ([123.4, 123.5], "123.5 ± 0.6", "123.5 [122.8, 124.1]"),
        ([1000, 2000, 3000], "2000 ± 2484", "2000 [-484, 4484]"),
        ([12345.1, 12345.2], "12345 ± 0.64", "12345 [12345, 12346]"),
        ([1.5, 1.5], "1.5 ± 0", "1.5 [1.5, 1.5]"),
        ([1.5], "1.5", "1.5"),
        ([], "–", "–"),
        ([1e-6, 2e-6, 3e-6], "2e-06 ± 2.5e-06", "2e-06 [-4.84e-07, 4.48e-06]"),
        ([0.0, 1e9], "5e+08 ± 6.4e+09", "5e+08 [-5.85e+09, 6.85e+09]"),
        # Which side of 0 the lower end is on is seen.
        ([0.0001, 6.3527], "3 ± 40", "3 [-37, 44]"),
        ([4.302, 6.302, 5.302, 1.16], "4.3 ± 3.5", "4.3 [0.7, 7.8]"),
        ([2.486, 1.486, 3.486], "2.5 ± 2.5", "2.486 [0.002, 4.970]"),
    ],
)
def test_means_and_intervals_in_words(values, shown, ends):
    assert with_reach(estimate(values)) == shown
    assert between(estimate(values)) == ends


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=5))
def test_words_are_near_the_numbers(values):
    found = estimate(values)
    mean, reach = map(float, with_reach(found).split(" ± "))
    wide = (found["high"] - found["low"]) / 2
    size = abs(found["mean"])
    assert abs(reach - wide) <= 1.001 * max(0.05 * wide, 5e-4 * size)
    assert abs(mean - found["mean"]) <= 1.001 * max(0.05 * wide, 5e-3 * size)
    low, high = re.fullmatch(r"\S+ \[(\S+), (\S+)\]", between(found)).groups()
    for word, end in ((low, found["low"]), (high, found["high"])):
        assert (float(word.replace(",", "")) > 0) == (end > 0)


piece = st.text("ab01.-", min_size=1, max_size=3)


@given(
    st.lists(st.tuples(piece, piece), min_size=1, max_size=6),
    st.sampled_from(["{x}-{y}", "a{x}", "{x}.{x}", "{x}b"]),
)
@settings(max_examples=60, deadline=None)
def test_patterns_find_what_an_expression_fits(tmp_path_factory, files, name):
    root = tmp_path_factory.mktemp("p")
    for folder, file in files:
        try:
            (root / f"d{folder}").mkdir(exist_ok=True)
            (root / f"d{folder}" / file).write_text("")
        except OSError:
            pass  # . and .. are no files
    pattern = f"{root}/d{{d}}/{name}"
    plain = {
        "{x}-{y}": r"(?P<x>[^/]+?)-(?P<y>[^/]+?)",
        "a{x}": "a(?P<x>[^/]+?)",
        "{x}.{x}": r"(?P<x>[^/]+?)\.(?P=x)",
        "{x}b": "(?P<x>[^/]+?)b",
    }[name]
    expected = {}
    for path in root.glob("d*/*"):
        found = re.fullmatch(plain, path.name)
        if found and not path.name.startswith("."):
            expected[str(path)] = found.groupdict()
    try:
        matches = matching(pattern)
    except SynthError:
        matches = []
    assert {match.path for match in matches} == set(expected)
    for match in matches:
        for key, value in expected[match.path].items():
            assert match.fields[key] == (
                value if isinstance(match.fields[key], str) else float(value)
            )


def test_names_of_patterns_are_numbers_where_all_are(tmp_path):
    for name in ("0", "100", "25", "0.5"):
        (tmp_path / f"a-{name}.json").touch()
    (tmp_path / ".a-7.json.partial").touch()
    assert [m.fields["x"] for m in matching(f"{tmp_path}/a-{{x}}.json")] == [0, 0.5, 25, 100]
    (tmp_path / "a-007.json").touch()
    names = [m.fields["x"] for m in matching(f"{tmp_path}/a-{{x}}.json")]
    assert names == ["0", "0.5", "25", "100", "007"]
    os.mkdir(tmp_path / "b")
    (tmp_path / "b" / "f").touch()
    assert [m.fields for m in matching(f"{tmp_path}/{{x}}/f")] == [{"x": "b"}]
    (tmp_path / "b" / ".f").touch()
    assert [m.fields for m in matching(f"{tmp_path}/b/{{x}}")] == [{"x": "f"}]
    assert [m.path for m in matching(f"{tmp_path}/b/.{{x}}")] == [f"{tmp_path}/b/.f"]
    for pattern in ("{a}{b}", "{a", "a}", "{}", "{a b}", "{{a}}"):
        with pytest.raises(UsageError):
            names_of(pattern)


@pytest.mark.parametrize(
    "texts, expected",
    [
        (["0.0", "0.25", "1.0"], [0, 0.25, 1]),  # as Python writes them
        (["0.00", "0.50"], [0, 0.5]),  # as printf does
        (["1e5", "100000"], ["100000", "1e5"]),
        (["1e5", "2e5"], ["1e5", "2e5"]),
        (["0.5", "0.50"], ["0.5", "0.50"]),
        (["1.9", "1.10"], ["1.9", "1.10"]),
        (["-0", "0"], ["0", "-0"]),
    ],
)
def test_names_are_numbers_where_all_are_plain_decimals_of_one_writing(tmp_path, texts, expected):
    for text in texts:
        (tmp_path / f"a-{text}.json").touch()
    found = [m.fields["x"] for m in matching(f"{tmp_path}/a-{{x}}.json")]
    assert found == expected


def test_a_commit_that_looks_like_a_number_is_not_merged_with_another(table, tmp_path):
    """Of two commits the first three runs have 1, 2, 3, the others 11, 12, 13."""
    for commit, start in (("1e5", 1), ("100000", 11)):
        for seed in range(3):
            kept = {"kind": "x", "made_by": {}, "loss": start + seed}
            (tmp_path / f"{commit}-{seed}.json").write_text(json.dumps(kept))
    words = [f"{tmp_path}/{{commit}}-{{seed}}.json", "--take", "loss=loss", "--by", "commit"]
    groups = table(*words)["groups"]
    found = {g["fields"]["commit"]: g["values"]["loss"]["mean"] for g in groups}
    assert found == {"1e5": 2, "100000": 12}
    claim = "loss[commit=1e5] < loss[commit=100000]"
    (judged,) = table(*words, "--claim", claim)["claims"]
    assert judged["difference"]["mean"] == 10


@pytest.mark.parametrize(
    "words, message",
    [
        (["no/{share}.json", "--take", "x=y"], "fits no file"),
        ([TRAIN, "--take", "x=valid.novel"], "no report has this path; near it: valid.novels"),
        (
            [TRAIN, "--take", "x=valid"],
            r"report.json: take x=valid leads to an object \(of novels\)",
        ),
        ([TRAIN, *TAKES[:2], "--by", "shares"], "no row has this field; near it: share"),
        ([TRAIN, *TAKES[:2], "--over", "seeds"], "no row has this field; near it: seed"),
        (
            [TRAIN, *TAKES[:2], "--by", "seed", "--over", "share", "--claim", "novels < 1"],
            "3 groups",
        ),
        (
            [TRAIN, "models/{share}-{seed}/training/{file}.json", *TAKES[:2], "--by", "share"],
            "same repetition",
        ),
        (
            ["models/0-0/training/report.json", "models/0-1/training/report.json", *TAKES[:2]],
            "0-0.* and .*0-1",
        ),
        (["page.md", "--by", "x"], "no row has this field"),
        (
            [TRAIN, *TAKES[:2], "--markdown", "page.md", "--section", "other"],
            "no line <!-- other -->",
        ),
        ([TRAIN, *TAKES[:2], "--markdown", "gone.md", "--section", "other"], "No such file"),
        ([TRAIN, *TAKES[:2], "--markdown", "eval/0-0.json"], "--force"),
    ],
)
def test_what_cannot_be_done_is_told(table, words, message):
    with pytest.raises(SynthError, match=message) as error:
        table(*words)
    assert error.value.exit_code == 1 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "words",
    [
        [],
        [TRAIN],
        ["-", "-", "--by", "x"],
        [TRAIN, "--take", "x"],
        [TRAIN, "--take", "a-b=x"],
        [TRAIN, "--take", "x=a", "--take", "x=b"],
        [TRAIN, "--take", "x=a[["],
        [TRAIN, "--take", "seed=valid.novels"],
        [TRAIN, *TAKES[:2], "--claim", "novels"],
        [TRAIN, *TAKES[:2], "--columns", "novel"],
        [TRAIN, *TAKES[:2], "--pivot", "seed"],
        [TRAIN, *TAKES[:2], "--by", "share", "--over", "share"],
        [TRAIN, *TAKES[:2], "--section", "x"],
        [TRAIN, *TAKES[:2], "--markdown", "page.md", "--section", "a --> b"],
        [TRAIN, *TAKES[:2], "--plot", "x.pdf"],
        [TRAIN, *TAKES[:2], "--rows", "x.pdf"],
        ["{a}{b}.json", "--take", "x=y"],
    ],
)
def test_what_makes_no_sense_is_wrong_usage(table, words):
    with pytest.raises(UsageError) as error:
        table(*words)
    assert "\n" not in str(error.value)


def test_a_directory_of_reports_is_named_by_a_pattern(table):
    with pytest.raises(UsageError, match=r"^models: .* pattern, 'models/\{name\}.json'$"):
        table("models", "--by", "x")


def test_records_are_read_in_their_encoding(table, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes('{"set": "Grüße", "x": 1}\n'.encode("latin-1"))
    (group,) = table(rows, "--by", "set", "--encoding", "latin-1")["groups"]
    assert group["fields"] == {"set": "Grüße"} and group["values"]["x"]["mean"] == 1


def test_inputs_are_not_written_over(table, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1, "x": 2}\n')
    for option in ("--rows", "--markdown"):
        with pytest.raises(SynthError, match="both input and output"):
            table(path, "--by", "a", option, path, "--force")
    assert path.read_text() == '{"a": 1, "x": 2}\n'


def test_two_records_of_one_run_are_an_error(table, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1, "b": 1, "x": 2}\n{"a": 1, "b": 2, "x": 2}\n')
    with pytest.raises(SynthError, match=r"rows.jsonl:1 and .*:2: both are a=1; group by"):
        table(path, "--by", "a")
    with pytest.raises(SynthError, match="no field method"):
        table(path, "--by", "a,method")
    other = tmp_path / "other.jsonl"
    other.write_text('{"a": 1, "b": 1, "x": 3}\n')
    with pytest.raises(SynthError, match=r"x of a=1, b=1 is 2 in .*rows.jsonl:1 and 3 in .*other"):
        table(path, other, "--by", "a,b")
    path.write_text('{"a": "1", "x": "words"}\n')
    with pytest.raises(SynthError, match="no field of these records holds numbers"):
        table(path, "--by", "a")
    path.write_text("")
    with pytest.raises(SynthError, match="no records"):
        table(path, "--by", "a")


def test_the_binary_reads_stdin_and_writes_pipes(folder, tmp_path):
    whole = running.synth("table", TRAIN, *TAKES[:2], cwd=folder)
    report = json.loads(whole)
    assert report["kind"] == "table" and not report["claims"]
    records = "".join(json.dumps(row) + "\n" for row in report["rows"]).encode()
    again = json.loads(running.synth("table", "-", "--by", "share", input=records))
    assert again["groups"] == report["groups"]
    taken = running.synth("table", "-", "--take", "n=groups[0].values.novels.n", input=whole)
    assert json.loads(taken)["rows"] == [{"n": 3}]
    told = running.synth("table", TRAIN, "--take", "x=valid.novel", cwd=folder, code=1)
    assert told.endswith("near it: valid.novels")
    running.synth("table", TRAIN, cwd=folder, code=2)


def test_a_table_is_drawn(table, tmp_path):
    from synthtools import reports

    both = [TRAIN, EVAL, *TAKES, "--plot", tmp_path / "t.png"]
    report = table(*both, "--claim", "Rises: novels[share=0] < novels[share=25]")
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    drawn = reports.figure(report)
    assert [panel.title for panel in drawn.panels] == ["novels", "ece"]
    (line,) = drawn.panels[0].series
    means = [group["values"]["novels"]["mean"] for group in report["groups"]]
    assert list(line.x) == [0, 25, 50, 100] and list(line.y) == means
    told = reports.story(report)
    assert told.lines == ["Rises: reproduced."] and len(told.tables) == 2
    assert len(markdown(report).splitlines()) == 6 + 1 + 3
    for group in report["groups"]:
        group["fields"] = {"method": group["name"]}
    named = reports.figure({**report, "by": ["method"]}).panels[0]
    assert named.series[0].form == "named" and named.names[1] == "share=25"
