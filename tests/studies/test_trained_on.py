"""Which documents trained the built-in model: listed, and kept out of what a study tests it on."""

import json
import subprocess
from pathlib import Path

import pytest

from synthtools.records.inputs import find_shards
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects

ROOT = Path(__file__).resolve().parents[2]
LIST = ROOT / "src/synthtools/prior/trained-on.jsonl.zst"
DATA = ROOT.parent / "shared" / "data"


def ids_in(*paths):
    shards = find_shards([str(path) for path in paths])
    return [one for batch in read(shards, Rejects()) for one in batch.column("id")]


def test_the_list_is_what_the_recipe_trains_on():
    files = sorted(DATA.glob("human_*/*.jsonl.zst"))
    if not files:
        pytest.skip("the shared data is not there")
    everything = ids_in(*files)
    held_out = everything[99::100]  # train.sh: NR % 100 == 0
    assert len(held_out) == 194
    assert ids_in(LIST) == [one for n, one in enumerate(everything, 1) if n % 100]
    assert not set(ids_in(LIST)) & set(held_out)


def test_held_out_text_trained_neither_the_prior_nor_the_models_of_a_study(tmp_path, environment):
    known = ids_in(LIST)
    texts = [" ".join(f"w{n}x{at}" for at in range(60)) for n in range(9)]
    copy = texts[0].replace("w0x30", "other")
    rows = [
        (known[0], texts[0]),  # of the prior
        ("copy", copy),  # a near-copy of that
        *((f"new {n}", texts[n]) for n in range(1, 8)),
        ("again", texts[5]),  # of one of these
        (7, texts[8]),
    ]
    (tmp_path / "all.jsonl").write_text(
        "".join(json.dumps({"id": one, "text": text}) + "\n" for one, text in rows)
    )
    script = f"""
    . {ROOT}/studies/steps.sh
    study=s rows=rows
    mkdir .steps
    held_out some all.jsonl 6; others some
    """
    command = ["bash", "-euo", "pipefail", "-c", script]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=environment)

    def kept(name):
        lines = (tmp_path / name / "some.jsonl").read_text().splitlines()
        return {(row["id"], row["text"]) for row in map(json.loads, lines)}

    assert kept("unseen") == set(rows[1:]) and kept("seen") == {rows[0]}
    held = kept("held-out")
    assert len(held) == 6 and held <= set(rows[2:])
    held_texts = {text for _, text in held}
    assert kept("texts") == {row for row in rows if row[1] not in {copy, *held_texts}}
