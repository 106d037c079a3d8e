"""The progress bar of a tool that runs a model: tokens move it, not the bytes that were read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthtools.cli.run_progress import RunProgress
from synthtools.curate.edited_records import edited_by_model
from synthtools.curate.token_edit import Rules
from synthtools.lm.scorer import LanguageModel, ScoringProgress
from synthtools.lm.scores import ScoreRequest
from synthtools.lm.torch.torch_engine import TorchEngine
from synthtools.measure.scored_records import scored
from synthtools.records.batch import Batch
from synthtools.records.inputs import find_shards
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects
from synthtools.records.transform import in_calls


@pytest.fixture(scope="module")
def source(documents: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("progress") / "in.jsonl"
    lines = [json.dumps({"text": text[:900]}) + "\n" for text in documents[:12]]
    path.write_text("".join(lines))
    return path


def scoring(batches: Iterator[Batch], model: LanguageModel) -> Iterator[int]:
    for item in scored(batches, model, ScoreRequest(), "text"):
        yield sum(document.n_tokens for document in item.documents)


def editing(batches: Iterator[Batch], model: LanguageModel) -> Iterator[int]:
    keyed = ((batch, np.arange(len(batch), dtype=np.uint64)) for batch in batches)
    rules = Rules(threshold=0.99)
    for batch in edited_by_model(keyed, model, rules, "text", seed=0, generations=2):
        yield 2 * sum(json.loads(line)["edit_tokens"] for line in batch.json_lines())


@pytest.mark.parametrize("work", [scoring, editing])
def test_tokens_move_the_bar_of_a_file_that_is_read_at_once(
    llama: Path,
    open_on_cpu: Callable[..., LanguageModel],
    source: Path,
    work: Callable[[Iterator[Batch], LanguageModel], Iterator[int]],
) -> None:
    progress = RunProgress()
    progress.shards = find_shards([str(source)])
    size = source.stat().st_size
    with open_on_cpu(llama, bos="always") as model:
        model.chunk_bytes, model.calls = 2000, 1
        progress.scoring = model.progress
        batches = list(read(progress.shards, Rejects(), batch_bytes=2000))
        assert progress.shards[0].bytes_read >= size
        seen, tokens = [progress.state()[:2]], 0
        for count in work(iter(batches), model):
            tokens += count
            assert model.progress.scored >= tokens
            seen.append(progress.state()[:2])
    assert len(seen) > 4 and seen[0] == (0, size)
    # Never back, and at the end where the records' own bytes end (line ends are nobody's).
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert 0 < seen[1][0] < size and 0.95 * size < seen[-1][0] <= size
    assert tokens * 0.97 < model.progress.scored <= tokens * 1.03
    assert progress.state()[2].startswith(f"{model.progress.scored:,} tokens, ")


def test_a_bar_never_goes_back_where_the_next_texts_have_fewer_bytes_a_token() -> None:
    progress = ScoringProgress()
    progress.bring(4000, 1000)
    progress.passed(500)
    assert progress.bytes_done(8000) == 2000
    progress.bring(1000, 1000)  # a quarter of 5,000 bytes is less
    assert progress.bytes_done(8000) == 2000
    progress.passed(1000)
    assert progress.bytes_done(8000) == 3750


@pytest.mark.parametrize("parameters", [5_000_000, 135_000_000, 8_000_000_000])
def test_a_call_of_a_cpu_brings_some_seconds_work(parameters: int) -> None:
    replica = SimpleNamespace(changes_itself=False, parameters=parameters, batch_tokens=1, width=1)
    engine = TorchEngine([replica], ["cpu"], 128, 4)
    engine.close()
    flops = engine.chunk_bytes / 4 * 2 * parameters  # four bytes a token, as English has
    assert 0 < engine.chunk_bytes <= 4 << 18
    # A core makes 10 to 100 GFLOP a second.
    assert flops / 4 / 1e10 < 200
    assert flops / 4 / 1e11 > 1


@given(st.lists(st.lists(st.integers(1, 300), max_size=30), max_size=12), st.integers(1, 2000))
def test_calls_grow_and_lose_nothing(batches: list[list[int]], most: int) -> None:
    def take(batch: list[int], part: range) -> list[int]:
        return [batch[i] for i in part]

    runs = list(in_calls(batches, lambda batch: np.array(batch, np.int64), take, most))
    assert [n for run in runs for batch in run for n in batch] == [n for b in batches for n in b]
    goal = max(1, most // 16)
    for run in runs[:-1]:
        sizes = [n for batch in run for n in batch]
        # Enough together, and no more than it takes.
        assert sum(sizes[:-1]) < goal <= sum(sizes)
        goal = min(most, 2 * goal)
