"""The edit of a stream of records: the same bytes however they are read, batched and ordered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from synthtools.curate.edited_records import edited_by_model, report
from synthtools.curate.token_edit import Rules, conditions, edit
from synthtools.lm.scorer import LanguageModel
from synthtools.lm.scores import ScoreRequest
from synthtools.records.batch import Batch
from synthtools.records.record_keys import RecordKeys

Keyed = Callable[..., Iterator[tuple[Batch, np.ndarray]]]
# What the tiny models give in place of 0.99: about one token in ten is above.
RULES = Rules(0.002, temperature=3.0)


@pytest.fixture(scope="module")
def records(documents: list[str], paragraphs: list[str]) -> list[dict[str, Any]]:
    """Records with an id and without, equal texts, an empty one, one of several windows."""
    found: list[dict[str, Any]] = [
        {"id": f"doc {number}", "text": text, "more": [number, None]}
        for number, text in enumerate(paragraphs[:25])
    ]
    found += [{"text": text} for text in paragraphs[25:40]]
    found += [{"text": paragraphs[30]}, {"text": paragraphs[30]}, {"text": ""}]
    found.append({"id": 7, "text": documents[1][:2000] + " é 語 👩‍👧 <|endoftext|>"})
    return found


@pytest.fixture(scope="module")
def source(records: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "in.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def edited(
    model: LanguageModel,
    batches: Iterator[tuple[Batch, np.ndarray]],
    rules: Rules = RULES,
    seed: int = 0,
    generations: int = 1,
) -> list[dict[str, Any]]:
    found = edited_by_model(batches, model, rules, "text", seed=seed, generations=generations)
    return [orjson.loads(line) for batch in found for line in batch.json_lines()]


def by_hand(
    model: LanguageModel,
    records: list[dict[str, Any]],
    rules: Rules = RULES,
    seed: int = 0,
    generation: int = 0,
    texts: list[str] | None = None,
) -> list[dict[str, Any]]:
    """One edit after another, each text scored alone.

    Args:
        texts: the texts to be edited, in place of the records' own (which give the keys).
    """
    keys = RecordKeys()
    result = []
    for place, record in enumerate(records):
        (key,) = keys.of([record.get("id")], [record["text"]])
        text = record["text"] if texts is None else texts[place]
        (scores,) = model.score(model.tokenise([text]), ScoreRequest(rules.pool))
        new = edit(
            text,
            scores,
            rules,
            model.tokenizer,
            seed=seed,
            record=int(key),
            generation=generation,
        )
        counts = {"edit_tokens": new.tokens, "edit_flagged": new.flagged}
        counts["edit_changed"] = new.changed
        result.append(record | {"text": new.text} | counts)
    return result


def test_the_same_as_one_edit_after_another(
    tiny: LanguageModel, records: list[dict[str, Any]], source: Path, keyed: Keyed
) -> None:
    found = edited(tiny, keyed(source))
    assert found == by_hand(tiny, records)
    assert [list(record) for record in found] == [
        [*before, "edit_tokens", "edit_flagged", "edit_changed"] for before in records
    ]
    # Something happened, and not to all.
    flagged = sum(r["edit_flagged"] for r in found)
    changed = sum(r["edit_changed"] for r in found)
    tokens = sum(r["edit_tokens"] for r in found)
    assert 0.02 * tokens < flagged < 0.5 * tokens
    assert 0.2 * flagged < changed < flagged
    # Equal texts without an id are told apart.
    assert len({r["text"] for r in found if "id" not in r}) == len(
        [r for r in found if "id" not in r]
    )


@pytest.mark.parametrize("batch_bytes", [1, 300, 3000])
def test_batches_change_nothing(
    tiny: LanguageModel, source: Path, keyed: Keyed, batch_bytes: int
) -> None:
    assert edited(tiny, keyed(source, batch_bytes)) == edited(tiny, keyed(source))


@pytest.mark.parametrize(
    "settings", [{"batch_tokens": 1}, {"batch_tokens": 200, "cores": 3}, {"devices": "cpu,cpu"}]
)
def test_the_model_s_batches_and_copies_change_nothing(
    llama: Path,
    tiny: LanguageModel,
    open_on_cpu: Callable[..., LanguageModel],
    source: Path,
    keyed: Keyed,
    settings: dict[str, Any],
) -> None:
    with open_on_cpu(llama, **settings) as model:
        assert edited(model, keyed(source)) == edited(tiny, keyed(source))


def test_calls_of_any_size_change_nothing(
    llama: Path,
    tiny: LanguageModel,
    open_on_cpu: Callable[..., LanguageModel],
    source: Path,
    keyed: Keyed,
) -> None:
    expected = edited(tiny, keyed(source))
    with open_on_cpu(llama) as model:
        for chunk in (1, 2000):
            model.chunk_bytes = chunk
            assert edited(model, keyed(source, 500)) == expected


def test_the_order_of_records_changes_nothing(
    tiny: LanguageModel,
    records: list[dict[str, Any]],
    source: Path,
    keyed: Keyed,
    tmp_path: Path,
) -> None:
    order = np.random.default_rng(0).permutation(len(records)).tolist()
    path = tmp_path / "shuffled.jsonl"
    path.write_text("".join(json.dumps(records[i]) + "\n" for i in order))
    shuffled = edited(tiny, keyed(path))
    expected = edited(tiny, keyed(source))
    # Records with equal texts and no id are interchangeable.
    assert sorted(map(repr, shuffled)) == sorted(map(repr, expected))


def test_seeds_differ(tiny: LanguageModel, source: Path, keyed: Keyed) -> None:
    one, other = (edited(tiny, keyed(source), seed=seed) for seed in (0, 1))
    assert [r["edit_flagged"] for r in one] == [r["edit_flagged"] for r in other]
    assert [r["text"] for r in one] != [r["text"] for r in other]


def test_generations_are_edits_of_edits(
    tiny: LanguageModel, records: list[dict[str, Any]], source: Path, keyed: Keyed
) -> None:
    found = edited(tiny, keyed(source, 2000), generations=3)
    texts = None
    steps = []
    for generation in range(3):
        expected = by_hand(tiny, records, generation=generation, texts=texts)
        texts = [r["text"] for r in expected]
        steps.append(expected)
    assert found == expected
    assert len({tuple(r["text"] for r in step) for step in steps}) == 3


def test_tallies_of_each_generation(
    tiny: LanguageModel, records: list[dict[str, Any]], source: Path, keyed: Keyed
) -> None:
    rules = Rules(0.002, drop_below=1e-7, temperature=3.0)
    batches = list(edited_by_model(keyed(source, 1000), tiny, rules, "text", seed=0, generations=2))
    totals: dict[str, int] = {}
    for batch in batches:
        for name, counts in batch.tally.items():
            assert len(counts) == len(batch)
            totals[name] = totals.get(name, 0) + int(counts.sum())
    lines = [orjson.loads(line) for batch in batches for line in batch.json_lines()]
    for name in ("tokens", "flagged", "changed", "dropped"):
        assert totals[f"{name}/2"] == sum(line[f"edit_{name}"] for line in lines)
    first = by_hand(tiny, records, rules)
    assert totals["tokens/1"] == sum(r["edit_tokens"] for r in first)
    assert totals["flagged/1"] == sum(r["edit_flagged"] for r in first)
    assert totals["dropped/1"] > 0

    told = report(totals, rules, 2)
    assert told["rules"]["threshold"] == 0.002
    for row in told["generations"]:
        number = row["generation"]
        assert row["tokens"] == totals[f"tokens/{number}"]
        assert row["flagged_share"] == row["flagged"] / row["tokens"]
        assert row["changed_share"] == row["changed"] / row["tokens"]
        assert row["changed_of_flagged"] == row["changed"] / row["flagged"]


def test_a_report_of_nothing() -> None:
    (row,) = report({}, Rules(), 1)["generations"]
    assert (row["tokens"], row["flagged_share"], row["changed_of_flagged"]) == (0, None, None)


def test_untouched_records_keep_their_spelling(
    tiny: LanguageModel, keyed: Keyed, tmp_path: Path
) -> None:
    path = tmp_path / "in.jsonl"
    line = r'{"text" : "caf\u00e9\/bar", "n":1.10, "id":1}'
    path.write_text(line + "\n")
    (batch,) = edited_by_model(keyed(path), tiny, Rules(1.0), "text", seed=0)
    (found,) = batch.json_lines()
    assert found.decode().startswith(line.removesuffix("}"))


def test_errors_of_the_source_come_through(tiny: LanguageModel, source: Path, keyed: Keyed) -> None:
    def broken() -> Iterator[tuple[Batch, np.ndarray]]:
        yield from keyed(source, 1000)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        edited(tiny, broken())


def test_nothing_comes_of_nothing(tiny: LanguageModel) -> None:
    assert edited(tiny, iter(())) == []


def test_builtin(
    builtin: str,
    open_on_cpu: Callable[..., LanguageModel],
    keyed: Keyed,
    documents: list[str],
    tmp_path: Path,
) -> None:
    path = tmp_path / "in.jsonl"
    texts = [text[:3000] for text in documents[:4]]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    rules = Rules(0.5)  # a small model is seldom certain
    with open_on_cpu(builtin) as model:
        found = edited(model, keyed(path), rules)
        scores = model.score(model.tokenise(texts), ScoreRequest())
    flagged = [int(conditions(s.logprobs, rules)[0].sum()) for s in scores]
    assert [r["edit_flagged"] for r in found] == flagged
    assert sum(flagged) > 10
    assert 0 < sum(r["edit_changed"] for r in found) < sum(flagged)
