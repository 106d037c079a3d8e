"""Scores that ``synth ppl --candidates K`` wrote, in place of a model.

The scores must come in the order of the records that are edited; records in between that are not
edited are passed over. A record is matched by its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from synthtools.curate.token_edit import Rules
from synthtools.errors import SynthError, parameter
from synthtools.lm.scores import Candidates, Scores
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.records.batch import MISSING, Batch

_FIELDS = ("token_ids", "token_logprobs", "candidates")


def _remedy() -> str:
    return f"make it with ppl and its {parameter('candidates', 'K')}"


class StoredScores:
    """Gives the scores of texts, reading the stored ones alongside.

    Args:
        batches: the stored records.
        rules: the edit they are for.
        tokenizer: of the model that made them; each text's tokens are checked against it.
        text_field: the text, in both streams.
    """

    def __init__(
        self, batches: Iterable[Batch], rules: Rules, tokenizer: TextTokenizer, text_field: str
    ) -> None:
        self._rules = rules
        self._tokenizer = tokenizer
        self._records = self._read(batches, text_field)

    def of(self, batch: Batch, texts: list[str]) -> list[Scores]:
        """Scores of the next texts.

        Raises:
            TextError: the tokenizer fails at texts.
            SynthError: none are stored for a text, or they do not serve the edit.
        """
        expected = self._tokenizer.encode(
            texts
        )  # first: where it fails no stored record is used up
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

    def _read(self, batches: Iterable[Batch], text_field: str) -> Iterator[tuple[str, str, Scores]]:
        for batch in batches:
            for place, text, *values in stored_fields(batch, self._rules, text_field):
                yield place, text, self._scores(place, *values)

    def _scores(self, place: str, ids: Any, logprobs: Any, candidates: Any = None) -> Scores:
        """Scores from a record's fields, whatever they hold.

        Args:
            candidates: None where the edit needs none.
        """
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
        stored = ids.shape[1] if known else self._rules.pool
        if stored < self._rules.pool:
            need = f"{self._rules.pool} candidates"
            raise SynthError(
                f"{place}: the edit needs {need}, {stored} are stored; lower {parameter('top_k')}, or "
                f"score again with {parameter('candidates')} {self._rules.pool}"
            )
        return Candidates(
            present,
            ids.reshape(len(known), stored)[:, : self._rules.pool],
            logprobs.reshape(len(known), stored)[:, : self._rules.pool],
        )


def stored_fields(batch: Batch, rules: Rules, text_field: str) -> Iterator[tuple[Any, ...]]:
    """The place of each record, its text, and the values that an edit by ``rules`` takes from it.

    Raises:
        SynthError: a record lacks one.
    """
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
    # Every token that has a probability has candidates too.
    return present.shape == scores.ids.shape and bool((present | np.isnan(scores.logprobs)).all())
