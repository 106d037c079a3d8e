"""Editing a stream of records, with a model or from scores written by ``synth ppl --candidates K``.

Stored scores must be in the order of the edited records; records in between that are not edited are skipped. Records are
matched by their text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from synthtools.curate.token_edit import Edited, Rules, edit
from synthtools.errors import SynthError, parameter
from synthtools.lm.scorer import LanguageModel, Tokenised
from synthtools.lm.scores import Candidates, Scores
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.records.added_column import Column
from synthtools.records.batch import MISSING, Batch
from synthtools.records.rejects import Rejects
from synthtools.records.transform import in_calls, kept_mask, without_failing
from synthtools.scale.prefetch import overlapped

_FIELDS = ("token_ids", "token_logprobs", "candidates")


def _remedy() -> str:
    return f"make it with ppl and its {parameter('candidates', 'K')}"


class StoredScores:
    """Scores of texts, read from stored records in parallel.

    Args:
        batches: the stored records.
        rules: of the edit.
        tokenizer: of the model that made them; each text's tokens are checked against it.
        text_field: of the text, in both streams.
    """

    def __init__(
        self, batches: Iterable[Batch], rules: Rules, tokenizer: TextTokenizer, text_field: str
    ) -> None:
        self._rules, self._tokenizer = rules, tokenizer
        self._records = (
            (place, text, self._scores(place, *values))
            for batch in batches
            for place, text, *values in stored_fields(batch, rules, text_field)
        )

    def of(self, batch: Batch, texts: list[str]) -> list[Scores]:
        """Scores of the next texts. Raises TextError: the tokenizer fails on texts. Raises SynthError: a text has no
        stored scores, or they are insufficient for the edit."""
        # First, so that no stored record is consumed if it fails.
        expected = self._tokenizer.encode(texts)
        located = [self._find(text, batch, index) for index, text in enumerate(texts)]
        for index, (place, scores) in enumerate(located):
            if not np.array_equal(scores.ids, expected[index]):
                raise SynthError(
                    f"{place}: scored with another tokenizer; name its model with {parameter('model')}"
                )
        return [scores for _, scores in located]

    def _find(self, text: str, batch: Batch, index: int) -> tuple[str, Scores]:
        for place, stored, scores in self._records:
            if stored == text:
                return place, scores
        raise SynthError(
            f"{batch.source}:{batch.numbers[index]}: {parameter('scores')} has no scores for this text (they "
            "must be of these records, in this order)"
        )

    def _scores(self, place: str, ids: Any, logprobs: Any, candidates: Any = None) -> Scores:
        """Scores from a record's fields, with any content. ``candidates``: None if the edit needs none."""
        try:
            scores = Scores(
                np.array(ids, np.int32),
                np.array(logprobs, np.float32),  # None becomes NaN
                self._candidates(place, candidates) if self._rules.resamples else None,
            )
            if not _fit_each_other(scores):
                raise ValueError
        except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
            raise SynthError(f"{place}: these are not scores of synth ppl; {_remedy()}") from error
        return scores

    def _candidates(self, place: str, values: list[dict[str, list[float]] | None]) -> Candidates:
        present = np.array([value is not None for value in values], bool)
        known = [value for value in values if value is not None]
        ids = np.array([value["ids"] for value in known], np.int32)
        logprobs = np.array([value["logprobs"] for value in known], np.float32)
        pool = self._rules.pool
        stored = ids.shape[1] if known else pool
        if stored < pool:
            raise SynthError(
                f"{place}: the edit needs {pool} candidates, {stored} are stored; lower "
                f"{parameter('top_k')}, or score again with {parameter('candidates')} {pool}"
            )
        shape = len(known), stored
        return Candidates(present, ids.reshape(shape)[:, :pool], logprobs.reshape(shape)[:, :pool])


def stored_fields(batch: Batch, rules: Rules, text_field: str) -> Iterator[tuple[Any, ...]]:
    """The position of each record, its text, and the values needed for an edit by ``rules``. Raises SynthError: one
    is missing."""
    fields = (text_field, *(_FIELDS if rules.resamples else _FIELDS[:2]))
    columns = [batch.column(name) for name in fields]
    for number, *values in zip(batch.numbers, *columns, strict=True):
        place = f"{batch.source}:{number}"
        for name, value in zip(fields, values, strict=True):
            if value is MISSING:
                raise SynthError(f'{place}: no field "{name}"; {_remedy()}')
        yield place, *values


def _fit_each_other(scores: Scores) -> bool:
    if scores.ids.ndim != 1 or scores.ids.shape != scores.logprobs.shape:
        return False
    if scores.candidates is None:
        return True
    present = scores.candidates.present
    # Every token with a probability also has candidates.
    return present.shape == scores.ids.shape and bool((present | np.isnan(scores.logprobs)).all())


_COUNTS = ("tokens", "flagged", "changed", "dropped", "held")
_Keyed = tuple[Batch, np.ndarray]


def edited_by_model(
    batches: Iterable[_Keyed],
    model: LanguageModel,
    rules: Rules,
    text_field: str,
    rejects: Rejects | None = None,
    *,
    seed: int,
    generations: int = 1,
) -> Iterator[Batch]:
    """Edits records repeatedly, each generation starting from the previous text. Reading and tokenising, the model, and
    the caller run in parallel. ``rejects``: receives the records on which the tokenizer fails, in any generation;
    without it the first such record ends the run."""
    rejects = rejects or Rejects()
    request = rules.request()

    def texts_of(batches: list[Batch]) -> list[str]:
        return [text for batch in batches for text in batch.column(text_field)]

    def tokenise(run: list[_Keyed]) -> tuple[list[_Keyed], list[Tokenised]]:
        batches = [batch for batch, _ in run]
        left, tokens = without_failing(
            batches, lambda some: model.tokenise(texts_of(some)), rejects
        )
        model.progress.bring(
            sum(int(batch.sizes().sum()) for batch in batches),
            generations * sum(len(t.ids) for t in tokens),
        )
        return _keyed(left, run), tokens

    def score(
        item: tuple[list[_Keyed], list[Tokenised]],
    ) -> tuple[list[_Keyed], tuple[list[list[Edited]], list[str], list[Scores]]]:
        run, tokens = item

        def edited(batches: list[Batch]) -> tuple[list[list[Edited]], list[str], list[Scores]]:
            keys = [int(key) for _, keys in _keyed(batches, run) for key in keys]
            past: list[list[Edited]] = []
            texts = texts_of(batches)
            whole = len(texts) == len(tokens)
            scores = model.score(tokens if whole else model.tokenise(texts), request)
            for generation in range(generations - 1):
                results = _edit_all(texts, scores, keys, rules, model.tokenizer, seed, generation)
                past.append(results)
                texts = [result.text for result in results]
                scores = model.score(model.tokenise(texts), request)
            return past, texts, scores

        left, columns = without_failing([batch for batch, _ in run], edited, rejects)
        return _keyed(left, run), columns

    runs = in_calls(
        batches,
        lambda item: item[0].sizes(),
        lambda item, part: (item[0].take(part), item[1][part.start : part.stop]),
        model.chunk_bytes,
    )
    for run, (past, texts, scores) in overlapped(runs, tokenise, score, at_once=model.calls):
        start = 0
        for batch, keys in run:
            part = slice(start, start + len(batch))
            own = [int(key) for key in keys]
            last = _edit_all(
                texts[part], scores[part], own, rules, model.tokenizer, seed, generations - 1
            )
            yield _with_fields(batch, [*(g[part] for g in past), last], rules, text_field)
            start += len(batch)


def _keyed(left: list[Batch], run: list[_Keyed]) -> list[_Keyed]:
    """The remaining records of batches, with their keys."""
    return [
        (some, keys[kept_mask(batch, some)]) for some, (batch, keys) in zip(left, run, strict=True)
    ]


def edited_by_scores(
    batches: Iterable[_Keyed],
    scores_of: Callable[[Batch, list[str]], list[Scores]],
    rules: Rules,
    tokenizer: TextTokenizer,
    text_field: str,
    rejects: Rejects | None = None,
    *,
    seed: int,
) -> Iterator[Batch]:
    """Edits records from stored scores: the same bytes as with the model that made them.

    Args:
        scores_of: the scores of a batch's texts (see ``StoredScores.of``).
        rejects: receives the records on which the tokenizer fails; without it the first such record ends the run.
    """

    def scored(some: list[Batch]) -> list[Scores]:
        return scores_of(some[0], some[0].column(text_field))

    for one in batches:
        left, scores = without_failing([one[0]], scored, rejects or Rejects())
        ((batch, keys),) = _keyed(left, [one])
        texts = batch.column(text_field)
        results = _edit_all(texts, scores, [int(k) for k in keys], rules, tokenizer, seed, 0)
        yield _with_fields(batch, [results], rules, text_field)


def _edit_all(
    texts: list[str],
    scores: list[Scores],
    keys: list[int],
    rules: Rules,
    tokenizer: TextTokenizer,
    seed: int,
    generation: int,
) -> list[Edited]:
    return [
        edit(text, score, rules, tokenizer, seed=seed, record=key, generation=generation)
        for text, score, key in zip(texts, scores, keys, strict=True)
    ]


def _with_fields(
    batch: Batch, generations: list[list[Edited]], rules: Rules, text_field: str
) -> Batch:
    """The batch with the edited text and, of the last generation, ``edit_tokens``,
    ``edit_flagged``, ``edit_changed`` (and ``edit_dropped`` if tokens may be dropped)."""
    last = generations[-1]
    columns = {
        "edit_tokens": Column("int", [e.tokens for e in last]),
        "edit_flagged": Column("int", [e.flagged for e in last]),
        "edit_changed": Column("int", [e.changed for e in last]),
    }
    before = batch.column(text_field)
    if any(e.text != text for e, text in zip(last, before, strict=True)):
        columns = {text_field: Column("string", [e.text for e in last]), **columns}
    if rules.drop_below is not None:
        columns["edit_dropped"] = Column("int", [e.dropped for e in last])
    tally = {
        f"{count}/{number}": np.array([getattr(e, count) for e in generation], np.int64)
        for number, generation in enumerate(generations, 1)
        for count in _COUNTS
    }
    return batch.adding(columns, tally)


def report(totals: dict[str, int], rules: Rules, generations: int) -> dict[str, Any]:
    """The rules, and for each generation counts and shares of tokens. ``totals``: the sums of the batches' tallies."""
    table = []
    for number in range(1, generations + 1):
        row: dict[str, Any] = {"generation": number}
        row |= {count: totals.get(f"{count}/{number}", 0) for count in _COUNTS}
        tokens, flagged = row["tokens"], row["flagged"]
        row["flagged_share"] = flagged / tokens if tokens else None
        row["changed_share"] = row["changed"] / tokens if tokens else None
        row["changed_of_flagged"] = row["changed"] / flagged if flagged else None
        table.append(row)
    return {"rules": asdict(rules), "generations": table}
