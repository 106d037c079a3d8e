"""Wrong command lines: one line, what was perhaps meant, exit code 2; and the help of ``synth`` itself."""

import pytest

from running import run, synth
from synthtools.cli.app import TOOLS


@pytest.mark.parametrize(
    "words, told",
    [
        ("edit --treshold 0.9 x", "no option --treshold; near it: --threshold"),
        ("ppl --device cuda x", "no option --device; near it: --devices"),
        ("cat --on-eror skip x", "no option --on-eror; near it: --on-error"),
        ("cat --zzz", "no option --zzz (see "),
        ("eval --model m", "no option --model; MODEL is an operand: synth eval MODEL"),
        ("audit -m m", "no option -m; MODEL is an operand: synth audit MODEL"),
        ("train x --model m", "no option --model; it is called --from"),
        ("ct", "'cat'"),
        ("edit --threshold", "edit: --threshold needs a value (see synth edit --help)"),
        ("table x --by", "table: --by needs a value (see synth table --help)"),
        ("edit --threshold 99% x", "--threshold 99%: write it as 0.99"),
        ("cat --head -1 x", "--head -1: "),
        ("cat --where text~(a x", "--where text~(a: "),
        ("cat --where text:=a x", "--where text:=a: use FIELD=VALUE"),
        ("cat x -o y.json", "-o y.json: a .json file is one value"),
        ("ppl --devices warp x", "--devices warp: use auto, cpu, or GPUs by number (0,1)"),
        ("ppl --devices cpu, x", "--devices cpu,: use auto, cpu"),
        ("ppl --kv-cache 100 x", "--kv-cache 100: give bytes, such as 1GB"),
        ("ppl --server http://127.0.0.1:9 --backend torch x", "does not go with --backend torch"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(words, told, tmp_path):
    if "y.json" in words:
        (tmp_path / "x").write_text("{}\n")
    line = synth(*words.split(), code=2, cwd=tmp_path)
    assert told in line and "pydantic" not in line and "Invalid value" not in line


def test_a_device_is_named_by_the_option_that_gave_it(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    assert "--devices warp: " in synth("ppl", tmp_path / "x.jsonl", "--devices", "warp", code=2)


def test_synth_alone_prints_its_help_as_it_is_written():
    alone, asked = run(), run("--help")
    assert alone.returncode == 2 and alone.stderr == asked.stdout
    lines = asked.stdout.decode().splitlines()
    assert not any(line.endswith("...") for line in lines[1:])
    assert set(TOOLS) <= {
        line.split()[0] for line in lines if line.startswith("  ") and line.strip()
    }


def test_where_a_string_does_not_end_is_said_once(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"text": "a\n')
    line = synth("cat", tmp_path / "x.jsonl", code=1)
    assert line.endswith("not JSON: Unterminated string starting at column 10")


@pytest.mark.parametrize("tool", ["ppl", "edit", "embed", "generate"])
def test_tools_that_run_a_model_go_to_a_cluster(tool):
    help_text = run(tool, "--help").stdout.decode()
    assert "--ray ADDRESS" in help_text and "--jobs" in help_text
