"""Records → the same records with their scores."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

from synthtools.lm.scorer import LanguageModel
from synthtools.lm.scores import ScoreRequest
from synthtools.measure.perplexity import document_score
from synthtools.measure.scored_records import scored, with_fields
from synthtools.records.batch import Batch
from synthtools.records.inputs import find_shards
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects


def batches(path: Path, batch_bytes: int = 1 << 20) -> Iterator[Batch]:
    return read(find_shards([str(path)]), Rejects(), batch_bytes=batch_bytes)


@pytest.fixture(scope="module")
def records(documents: list[str], paragraphs: list[str]) -> list[dict[str, Any]]:
    texts = ["", "a", *paragraphs[:12], documents[1][:1500] + " é 語 👩‍👧"]
    return [
        {"question": paragraphs[20 + n], "text": text, "nll": "is replaced", "n": n}
        for n, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def source(records: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "in.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("batch_bytes", [200, 1 << 20])
@pytest.mark.parametrize("prompts", [False, True])
def test_each_record_as_if_it_were_alone(
    tiny: LanguageModel,
    records: list[dict[str, Any]],
    source: Path,
    batch_bytes: int,
    prompts: bool,
) -> None:
    field = "question" if prompts else None
    items = list(scored(batches(source, batch_bytes), tiny, ScoreRequest(4), "text", field))
    found = [s for item in items for s in item.scores]
    documents = [d for item in items for d in item.documents]
    assert len(found) == len(records)
    for record, scores, document in zip(records, found, documents, strict=True):
        text = record["text"]
        tokens = tiny.tokenise([text], [record["question"]] if prompts else None)
        (alone,) = tiny.score(tokens, ScoreRequest(4))
        np.testing.assert_array_equal(scores.logprobs, alone.logprobs)
        assert alone.candidates is not None
        assert scores.candidates is not None
        np.testing.assert_array_equal(scores.candidates.ids, alone.candidates.ids)
        assert document == document_score(alone.logprobs, len(text.encode()))


def test_fields(tiny: LanguageModel, records: list[dict[str, Any]], source: Path) -> None:
    def lines(tokens: bool, candidates: bool) -> list[dict[str, Any]]:
        request = ScoreRequest(4 if candidates else 0)
        items = scored(batches(source), tiny, request, "text")
        return [
            orjson.loads(line)
            for item in items
            for line in with_fields(item, tokens, candidates).json_lines()
        ]

    plain = lines(False, False)
    with_tokens = lines(True, False)
    whole = lines(False, True)
    for record, line, more, most in zip(records, plain, with_tokens, whole, strict=True):
        # A field that was there is replaced in its place; the others follow.
        assert list(line) == [*record, "ppl", "n_tokens", "bits_per_byte"]
        assert {k: line[k] for k in record if k != "nll"} == {
            k: v for k, v in record.items() if k != "nll"
        }
        (tokens,) = tiny.tokenise([record["text"]])
        (scores,) = tiny.score([tokens], ScoreRequest(4))
        document = document_score(scores.logprobs, len(record["text"].encode()))
        assert (line["ppl"], line["nll"], line["n_tokens"], line["bits_per_byte"]) == document
        assert {k: more[k] for k in line} == line
        assert list(more)[len(line) :] == ["token_ids", "token_logprobs"]
        assert more["token_ids"] == tokens.ids.tolist()
        assert np.array_equal(np.array(more["token_logprobs"], np.float32), scores.logprobs)
        assert list(most) == [*more, "candidates"]
        assert scores.candidates is not None
        for row, candidate in enumerate(most["candidates"]):
            assert candidate["ids"] == scores.candidates.ids[row].tolist()
            assert np.array_equal(
                np.array(candidate["logprobs"], np.float32), scores.candidates.logprobs[row]
            )
    assert plain[0]["ppl"] is plain[0]["nll"] is plain[0]["bits_per_byte"] is None
    assert plain[0]["n_tokens"] == 0


def test_unscored_tokens_are_null(
    llama: Path,
    open_on_cpu: Callable[..., LanguageModel],
    source: Path,
    written: Callable[[Path, Iterator[Batch]], Path],
    tmp_path: Path,
) -> None:
    model = open_on_cpu(llama, bos="never")
    hub = Tokenizer.from_file(str(llama / "tokenizer.json"))
    items = scored(batches(source), model, ScoreRequest(4), "text")
    found = [with_fields(item, True, True) for item in items]
    for row in (orjson.loads(line) for batch in found for line in batch.json_lines()):
        # All but the first have a probability, and candidates.
        first = [n == 0 for n in range(len(row["token_ids"]))]
        assert [x is None for x in row["token_logprobs"]] == first
        assert [x is None for x in row["candidates"]] == first
        # Bits are of the bytes that were scored: those behind the first token, by its offsets.
        if row["n_tokens"]:
            offsets = hub.encode(row["text"], add_special_tokens=False).offsets
            scored_bytes = len(row["text"][offsets[0][1] :].encode())
            bits = -sum(row["token_logprobs"][1:]) / math.log(2)
            assert row["bits_per_byte"] == pytest.approx(bits / scored_bytes, rel=1e-6)
    rows = pq.read_table(written(tmp_path / "out.parquet", iter(found))).to_pylist()
    assert sum(int(batch.tally["tokens"].sum()) for batch in found) == sum(
        max(0, len(row["token_ids"]) - 1) for row in rows
    )
