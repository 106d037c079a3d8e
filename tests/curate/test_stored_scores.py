"""Edits from scores that ``synth ppl --candidates`` wrote: the same bytes as with the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthtools.curate.edited_records import StoredScores, edited_by_model, edited_by_scores
from synthtools.curate.token_edit import Rules
from synthtools.errors import SynthError
from synthtools.lm.scorer import LanguageModel
from synthtools.lm.scores import ScoreRequest
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.measure.scored_records import scored, with_fields
from synthtools.records.batch import Batch
from synthtools.training.tokenizer import train_tokenizer

Keyed = Callable[..., Iterator[tuple[Batch, np.ndarray]]]
Read = Callable[..., Iterator[Batch]]
Write = Callable[[Path, Iterator[Batch]], Path]
K = 9

RULES = {
    "default": Rules(0.002, temperature=3.0),
    "top-p": Rules(0.002, top_k=K, top_p=0.5),
    "rejection": Rules(0.002, rejection="exact", temperature=3.0),
    "exclude": Rules(0.002, exclude_observed=True),
    "below": Rules(None, below=1e-6, top_k=3),
    "drop": Rules(0.002, drop_below=1e-7, temperature=3.0),
    "filter only": Rules(None, drop_below=1e-6),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stored")


@pytest.fixture(scope="module")
def source(folder: Path, documents: list[str], paragraphs: list[str]) -> Path:
    texts = [*paragraphs[:20], "", "a", paragraphs[3], documents[1][:1500] + " é 語 👩‍👧", "end"]
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps({"text": text, "n": 1}) + "\n" for text in texts))
    return path


@pytest.fixture(scope="module", params=[".jsonl", ".jsonl.zst", ".parquet", ".arrow"])
def stored(
    request: pytest.FixtureRequest,
    tiny: LanguageModel,
    folder: Path,
    source: Path,
    batches_of: Read,
    written: Write,
) -> Path:
    """What ``synth ppl --candidates 9`` writes."""
    items = scored(batches_of(source, 1000), tiny, ScoreRequest(K), "text")
    path = folder / f"scores{request.param}"
    return written(path, (with_fields(item, False, True) for item in items))


@pytest.fixture(scope="module")
def lines(
    tiny: LanguageModel, folder: Path, source: Path, batches_of: Read, written: Write
) -> list[dict[str, Any]]:
    """Stored scores as objects, to be damaged."""
    items = scored(batches_of(source), tiny, ScoreRequest(K), "text")
    path = written(folder / "plain.jsonl", (with_fields(item, False, True) for item in items))
    return [json.loads(line) for line in path.read_text().splitlines()]


def by_scores(
    records: Iterator[tuple[Batch, np.ndarray]],
    scores: Iterator[Batch],
    rules: Rules,
    tokenizer: TextTokenizer,
) -> list[bytes]:
    found = StoredScores(scores, rules, tokenizer, "text")
    batches = edited_by_scores(records, found.of, rules, tokenizer, "text", seed=3)
    return [line for batch in batches for line in batch.json_lines()]


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_the_same_bytes_as_from_the_model(
    tiny: LanguageModel,
    source: Path,
    stored: Path,
    batches_of: Read,
    keyed: Keyed,
    rules: Rules,
) -> None:
    model = edited_by_model(keyed(source), tiny, rules, "text", seed=3)
    expected = [line for batch in model for line in batch.json_lines()]
    assert expected != [line.encode() for line in source.read_text().splitlines()]
    for batch_bytes in (1 << 20, 700):
        found = by_scores(keyed(source, batch_bytes), batches_of(stored), rules, tiny.tokenizer)
        assert found == expected


def test_scores_of_an_unscored_first_token(
    llama: Path,
    open_on_cpu: Callable[..., LanguageModel],
    source: Path,
    folder: Path,
    batches_of: Read,
    written: Write,
    keyed: Keyed,
) -> None:
    rules = RULES["default"]
    with open_on_cpu(llama, bos="never") as model:
        expected = [
            line
            for batch in edited_by_model(keyed(source), model, rules, "text", seed=3)
            for line in batch.json_lines()
        ]
        items = scored(batches_of(source), model, ScoreRequest(8), "text")
        for suffix in (".jsonl", ".parquet"):
            items = scored(batches_of(source), model, ScoreRequest(8), "text")
            path = written(
                folder / f"no-bos{suffix}", (with_fields(item, False, True) for item in items)
            )
            found = by_scores(keyed(source), batches_of(path), rules, model.tokenizer)
            assert found == expected


def test_some_of_the_scored_records(
    tiny: LanguageModel,
    source: Path,
    stored: Path,
    batches_of: Read,
    keyed: Keyed,
    tmp_path: Path,
) -> None:
    part = tmp_path / "part.jsonl"
    part.write_text("".join(line + "\n" for line in source.read_text().splitlines()[1::3]))
    rules = RULES["default"]
    model = edited_by_model(keyed(part), tiny, rules, "text", seed=3)
    expected = [line for batch in model for line in batch.json_lines()]
    assert by_scores(keyed(part), batches_of(stored), rules, tiny.tokenizer) == expected


def refused(
    keyed: Keyed,
    batches_of: Read,
    tokenizer: TextTokenizer,
    source: Path,
    stored: Path,
    rules: Rules = RULES["default"],
) -> str:
    with pytest.raises(SynthError) as raised:
        by_scores(keyed(source), batches_of(stored), rules, tokenizer)
    line = str(raised.value)
    assert "\n" not in line
    return line


def test_too_few_candidates(
    tiny: LanguageModel, source: Path, stored: Path, batches_of: Read, keyed: Keyed
) -> None:
    rules = Rules(0.002, top_k=K + 1)
    line = refused(keyed, batches_of, tiny.tokenizer, source, stored, rules)
    assert line == (
        f"{stored}:1: the edit needs 10 candidates, 9 are stored; lower --top-k, or score again "
        "with --candidates 10"
    )
    rules = Rules(0.002, top_k=K, exclude_observed=True)
    assert "needs 10" in refused(keyed, batches_of, tiny.tokenizer, source, stored, rules)


def test_records_in_another_order(
    tiny: LanguageModel,
    source: Path,
    stored: Path,
    batches_of: Read,
    keyed: Keyed,
    tmp_path: Path,
) -> None:
    path = tmp_path / "other.jsonl"
    lines = source.read_text().splitlines()
    path.write_text("\n".join([lines[5], lines[4]]))
    line = refused(keyed, batches_of, tiny.tokenizer, path, stored)
    assert line.startswith(f"{path}:2: --scores has no scores for this text")
    path.write_text(json.dumps({"text": "never scored"}))
    line = refused(keyed, batches_of, tiny.tokenizer, path, stored)
    assert line.startswith(f"{path}:1: --scores has no scores for this text")


def test_another_tokenizer(
    source: Path, stored: Path, batches_of: Read, keyed: Keyed, documents: list[str]
) -> None:
    other = TextTokenizer(train_tokenizer(documents[:5], 400))
    line = refused(keyed, batches_of, other, source, stored)
    assert line == f"{stored}:1: scored with another tokenizer; name its model with --model"


def first_token(record: dict[str, Any], **changes: Any) -> None:
    record["candidates"][1].update(changes)


DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no text": lambda record: record.pop("text"),
    "no ids": lambda record: record.pop("token_ids"),
    "no logprobs": lambda record: record.pop("token_logprobs"),
    "no candidates": lambda record: record.pop("candidates"),
    "null": lambda record: record.update(token_ids=None),
    "null logprobs": lambda record: record.update(token_logprobs=None),
    "null candidates": lambda record: record.update(candidates=None),
    "text for ids": lambda record: record.update(token_ids="abc"),
    "one number": lambda record: record.update(token_logprobs=1.5),
    "large ids": lambda record: record["token_ids"].__setitem__(0, 1 << 40),
    "a token too few": lambda record: record["token_ids"].pop(),
    "a logprob too few": lambda record: record["token_logprobs"].pop(),
    "a candidate too few": lambda record: record["candidates"].pop(),
    "a token without candidates": lambda record: record["candidates"].__setitem__(2, None),
    "candidates without ids": lambda record: record["candidates"][1].pop("ids"),
    "ragged": lambda record: record["candidates"][1]["ids"].pop(),
    "ragged logprobs": lambda record: record["candidates"][1]["logprobs"].pop(),
    "candidates as numbers": lambda record: record.update(candidates=[1] * 50),
    "numbers for lists": lambda record: record.update(
        candidates=[{"ids": 1, "logprobs": 2.0}] * len(record["token_ids"])
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_are_no_scores(
    tiny: LanguageModel,
    source: Path,
    lines: list[dict[str, Any]],
    batches_of: Read,
    keyed: Keyed,
    tmp_path: Path,
    damage: Callable[[dict[str, Any]], Any],
) -> None:
    path = tmp_path / "damaged.jsonl"
    copies = json.loads(json.dumps(lines))
    damage(copies[2])
    path.write_text("".join(json.dumps(line) + "\n" for line in copies))
    line = refused(keyed, batches_of, tiny.tokenizer, source, path)
    assert line.startswith(f"{path}:3: ")
    assert "make it with ppl and its --candidates K" in line
    assert 'no field "' in line or "these are not scores of synth ppl" in line


def test_records_that_never_were_scores(
    tiny: LanguageModel, source: Path, batches_of: Read, keyed: Keyed
) -> None:
    line = refused(keyed, batches_of, tiny.tokenizer, source, source)
    assert line == (f'{source}:1: no field "token_ids"; make it with ppl and its --candidates K')


def test_deleting_needs_no_candidates(
    tiny: LanguageModel,
    source: Path,
    folder: Path,
    batches_of: Read,
    written: Write,
    keyed: Keyed,
) -> None:
    items = scored(batches_of(source), tiny, ScoreRequest(), "text")
    path = written(folder / "tokens.parquet", (with_fields(item, True, False) for item in items))
    rules = RULES["filter only"]
    model = edited_by_model(keyed(source), tiny, rules, "text", seed=3)
    expected = [line for batch in model for line in batch.json_lines()]
    assert by_scores(keyed(source), batches_of(path), rules, tiny.tokenizer) == expected
