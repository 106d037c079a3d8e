"""The four studies: their tables are those of their rows, their plans add up, and each runs to its end."""

import re
from pathlib import Path

import pytest

STUDIES = Path(__file__).resolve().parents[2] / "studies"
NAMES = ("toedit", "flaws", "baskets", "ratios")

# Settings by which a study is over in a minute or two; one seed.
SMALLEST = {
    "toedit": {
        "shares": "0 25 50 100",
        "tokenizer": 400,
        "tokens": "4K",
        "further": "2K",
        "again": "4K",
        "documents": 24,
        "held": 2,
        "few": 3,
        "many": 6,
        "pool": 3,
        "thrice": 1,
        "talk": 3,
        "words": 300,
        "selection": 4,
        "batch": 4,
    },
    "flaws": {
        "base_tokens": "2K",
        "tokens": "2K",
        "forget": "1K",
        "tune": "1K",
        "documents": 24,
        "held": 8,
        "few": 8,
        "asked": 2,
        "new": 8,
        "words": 5,
        "per": 1,
        "batch": 2,
    },
    "baskets": {
        "answers": 8,
        "tune": "1K",
        "held": 8,
        "new": 8,
        "preferred": 2,
        "words": 5,
        "vectors": 4,
        "batch": 1,
    },
    "ratios": {
        "base_tokens": "4K",
        "tokens": "4K",
        "again": "4K",
        "documents": 24,
        "beginnings": 8,
        "real": 6,
        "new": 12,
        "held": 8,
        "per": 4,
        "batch": 4,
    },
}


def section(text, name):
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)[1].strip()


@pytest.mark.parametrize("name", NAMES)
def test_the_tables_of_the_readme_are_those_of_the_rows(name, study, tmp_path):
    there = (STUDIES / name / "README.md").read_text()
    names = re.findall(r"<!-- (\w+) -->", there)
    assert names and all(section(there, part) for part in names)
    emptied = there
    for part in names:
        emptied = emptied.replace(section(there, part), "")
    readme = tmp_path / "README.md"
    readme.write_text(emptied)
    study(name, "--rows", STUDIES / name / "rows", "--readme", readme)
    for part in names:
        assert section(readme.read_text(), part) == section(there, part)
    assert not [path.name for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.parametrize("scale", ["toy", "small", "paper"])
@pytest.mark.parametrize("name", NAMES)
def test_the_plan(name, scale, study):
    told = study(name, "--scale", scale, "--dry-run", "--seeds", "0").stdout
    assert re.search(r"\n[1-9]\d+ steps to do. Tokens to train: ", told)
    assert "hours of an H100" in told


@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
def test_each_runs_at_its_smallest(name, study, tmp_path):
    words = [w for key, value in SMALLEST[name].items() for w in ("--set", f"{key}={value}")]
    study(name, "--seeds", "0", *words, timeout=1200)
    readme = (tmp_path / name / "README.md").read_text()
    for part in re.findall(r"<!-- (\w+) -->", readme):
        # One seed has no interval; a table without claims has no verdicts.
        verdicts = re.findall(r"\| verdict \|\n.*\n((?:\|.*\n?)+)", section(readme, part))
        assert all(re.search("untested: toy scale|inconclusive", one) for one in verdicts)
        assert verdicts or part == "base"
    assert (tmp_path / name / "page.html").stat().st_size > 10_000
    # Nothing is left to do.
    again = study(name, "--seeds", "0", *words)
    assert " s  " not in again.stderr
