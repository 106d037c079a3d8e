"""The run behind ``synth ppl --compare``: several inputs, or one under several models."""

from __future__ import annotations

import itertools
import math
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthtools.cli import terminal
from synthtools.cli.model_options import Models
from synthtools.cli.options import Inputs, Jobs
from synthtools.cli.run import Run
from synthtools.errors import UsageError
from synthtools.measure import coverage
from synthtools.measure.two_models import Sampling, log_ratio
from synthtools.records.batch import MISSING, Batch
from synthtools.records.inputs import STDIN, Shard
from synthtools.records.reading import read, require_text, without
from synthtools.records.rejects import Rejects

_STORED = "fields of the records"
_SCORES = ("ppl", "nll", "n_tokens")
# What ``generate`` writes of how it drew an answer.
_DRAWN = ("generate_temperature", "generate_top_p", "generate_top_k")


@dataclass(frozen=True)
class Comparing:
    """Options of a comparison, as given."""

    text_field: str
    prompt_field: str | None
    log: bool
    resamples: int
    seed: int
    epsilon: float


@dataclass
class Scored:
    """The documents of one side, in input order; NaN where one could not be scored.

    Attributes:
        scored_by: a model's name, or that the records held their scores.
        tokens: scored ones, −1 where the records do not tell.
        scored_bytes: of the scored tokens.
        sampled: of the first of several models, documents by how they were sampled.
        cuts: a checksum of each document's tokens, to know equal tokenizers by.
    """

    name: str
    scored_by: str = _STORED
    ppl: list[float] = field(default_factory=list)
    nll: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    scored_bytes: list[int] = field(default_factory=list)
    sampled: Counter[Sampling] = field(default_factory=Counter)
    cuts: list[int] = field(default_factory=list)

    def finite(self) -> np.ndarray:
        """Perplexities that are numbers."""
        ppl = np.array(self.ppl, np.float64)
        return ppl[np.isfinite(ppl)]

    def counts(self) -> dict[str, Any]:
        """The report's head of the side."""
        ppl, tokens = np.array(self.ppl, np.float64), np.array(self.tokens, np.int64)
        scored = ~np.isnan(ppl)
        known = bool(scored.any()) and bool((tokens[scored] >= 0).all())
        total = int(tokens[scored].sum()) if known else None
        nll = None
        if total:
            nll = float(np.array(self.nll)[scored] @ tokens[scored]) / total
        return {
            "name": self.name,
            "scored_by": self.scored_by,
            "documents": len(ppl),
            "unscored": int((~scored).sum()),
            "infinite": int(np.isinf(ppl).sum()),
            "tokens": total,
            "perplexity": None if nll is None or nll > 709 else float(np.exp(nll)),
            "nll": nll,
            "bits_per_byte": self._bits_per_byte(),
        }

    def _bits_per_byte(self) -> float | None:
        """Of the scored tokens; None where the records were scored before."""
        scored = sum(self.scored_bytes)
        if not scored:
            return None
        nats = float(np.nansum(np.array(self.nll) * np.array(self.tokens)))
        return nats / (math.log(2) * scored) if math.isfinite(nats) else None


def run_comparison(
    reading: Inputs, model: Models, jobs: Jobs, options: Comparing
) -> dict[str, Any]:
    """Scores what is not scored yet and compares the sides, each with each.

    Raises:
        UsageError: nothing is there to compare.
    """
    models = model.names()
    several, inputs = len(models) > 1, len(reading.files or [STDIN])
    if several and inputs > 1:
        raise UsageError(
            "several models compare one data set: give one input (a directory counts as one)"
        )
    if len(models) < 2 and inputs < 2:
        raise UsageError("--compare needs two inputs or more, or two models for one input")
    if len(set(models)) < len(models):
        raise UsageError("--compare: one model is named twice")

    def check(batch: Batch) -> None:
        if several or not _has_scores(batch):
            _with_texts(batch, options, Rejects())
        else:
            _refuse_unsound(batch, Rejects())

    with Run("ppl", reading, apart=True, check=check) as run:
        groups = run.groups()
        scorers = _Scoring(run, model, jobs, options)
        if len(models) > 1:
            shards = run.twice(run.shards)
            sides = []
            for name in models:
                side = Scored(name, name)
                with ExitStack() as stack:
                    batches = scorers.batches(shards, again=bool(sides))
                    scorers.score(stack, name, batches, side, count=not sides)
                sides.append(side)
        else:
            with ExitStack() as stack:
                sides = [scorers.side(stack, name, shards) for name, shards in groups]
        run.units["tokens"] = sum(t for side in sides for t in side.tokens if t > 0)
        by = sorted({side.scored_by for side in sides})
        if len(by) > 1 and _STORED in by and not reading.quiet:
            stored = ", ".join(side.name for side in sides if side.scored_by == _STORED)
            terminal.remark(
                f"{stored}: used as scored already; compares with the others only if the model was "
                "the same"
            )
        if len(models) > 1:
            run.model = {"name": " and ".join(models), "models": scorers.described}
            unknown = sides[0].sampled[Sampling()]
            if unknown and not reading.quiet:
                terminal.remark(
                    f"{unknown:,} of {len(sides[0].ppl):,} records do not say how they were sampled "
                    f"({_DRAWN[0]}, {_DRAWN[1]}); pure and semi-synthetic are for what the left model "
                    "drew at temperature 1 and top-p 1"
                )
        elif scorers.described:
            run.model = scorers.described[0]
        return run.finish(_result(sides, options, paired=len(models) > 1))


class _Scoring:
    """Reads and scores the sides of one run."""

    def __init__(self, run: Run, model: Models, jobs: Jobs, options: Comparing) -> None:
        self._run, self._model, self._jobs, self._options = run, model, jobs, options
        self.described: list[dict[str, Any]] = []
        self._open: Any = None

    def batches(self, shards: list[Shard], again: bool = False) -> Iterator[Batch]:
        """Sound records with the texts that scoring needs."""
        rejects = self._run.rejects_of(again)
        for batch in self._run.counted(shards, read(shards, rejects), rejects):
            yield _with_texts(batch, self._options, rejects)

    def side(self, stack: ExitStack, name: str, shards: list[Shard]) -> Scored:
        """An input; its first record tells whether it is scored already."""
        rejects = self._run.rejects_of(False)
        found = self._run.counted(shards, read(shards, rejects), rejects)
        first = next(found, None)
        side = Scored(name)
        if first is None:
            return side
        everything = itertools.chain([first], found)
        if _has_scores(first):
            for batch in everything:
                self._stored(batch, side)
            return side
        side.scored_by = self._model.names()[0]
        texts = (_with_texts(batch, self._options, self._run.rejects) for batch in everything)
        self.score(stack, side.scored_by, texts, side)
        return side

    def score(
        self,
        stack: ExitStack,
        name: str,
        batches: Iterator[Batch],
        side: Scored,
        count: bool = True,
    ) -> None:
        """Adds what a model says of the records; the model stays open as long as the stack.

        Args:
            count: these records have not been counted before.
        """
        from synthtools.lm.scorer import open_model
        from synthtools.lm.scores import Request
        from synthtools.measure.scoring import scored

        if self._open is None or self._open[0] is not stack:
            settings = self._model.settings(self._jobs, name)
            scorer = stack.enter_context(open_model(settings, Request(), terminal.remark))
            self._open = (stack, scorer)
            self.described.append(scorer.description)
        scorer = self._open[1]
        options = self._options
        for item in scored(batches, scorer, Request(), options.text_field, options.prompt_field):
            for document, scores in zip(item.documents, item.scores, strict=True):
                side.ppl.append(np.nan if document.ppl is None else document.ppl)
                side.nll.append(np.nan if document.nll is None else document.nll)
                side.tokens.append(document.n_tokens)
                side.cuts.append(zlib.crc32(scores.ids.tobytes()))
            side.scored_bytes += item.scored_bytes
            if count:
                side.sampled.update(_sampling(item.batch))
                self._run.count(len(item.batch))

    def _stored(self, batch: Batch, side: Scored) -> None:
        """Adds the scores that the records hold."""
        batch = _refuse_unsound(batch, self._run.rejects)
        for ppl, nll, tokens in zip(*map(batch.column, _SCORES), strict=True):
            p = ppl if ppl is not MISSING else None
            n = nll if nll is not MISSING else None
            if p is None and n is not None:
                p = np.exp(n) if n < 709 else np.inf
            elif n is None and p is not None:
                n = np.log(p)
            side.ppl.append(np.nan if p is None else float(p))
            side.nll.append(np.nan if n is None else float(n))
            side.tokens.append(-1 if tokens is MISSING else tokens)
        self._run.count(len(batch))


def _with_texts(batch: Batch, options: Comparing, rejects: Rejects) -> Batch:
    """The records that have what is scored."""
    batch = require_text(batch, options.text_field, rejects)
    if options.prompt_field is not None:
        batch = require_text(batch, options.prompt_field, rejects, "--prompt-field")
    return batch


def _refuse_unsound(batch: Batch, rejects: Rejects) -> Batch:
    """The records with scores that can be; one without any is a bad one."""
    bad: dict[int, str] = {}
    for index, (ppl, nll, tokens) in enumerate(zip(*map(batch.column, _SCORES), strict=True)):
        if ppl is MISSING and nll is MISSING:
            bad[index] = 'no field "ppl" or "nll", which earlier records of this input have'
        elif not (_is_score(ppl) and _is_score(nll)) or ppl == 0:
            bad[index] = 'field "ppl" or "nll" is no number that a perplexity can be'
        elif tokens is not MISSING and (type(tokens) is not int or tokens < 0):
            bad[index] = 'field "n_tokens" is no count'
    return without(batch, bad, rejects)


def _has_scores(batch: Batch) -> bool:
    return any(batch.column(name)[0] is not MISSING for name in ("ppl", "nll"))


def _sampling(batch: Batch) -> Iterator[Sampling]:
    """How each text was drawn, as far as its record says."""
    for drawn in zip(*map(batch.column, _DRAWN), strict=True):
        numbers = [value if type(value) in (int, float) else None for value in drawn]
        found = Sampling(*numbers)
        yield found if found.known else Sampling()


def _is_score(value: Any) -> bool:
    """None, missing, or a number that can be a perplexity (nll may be 0, ppl not)."""
    if value is MISSING or value is None:
        return True
    return type(value) in (int, float) and value >= 0


def _result(sides: list[Scored], options: Comparing, paired: bool) -> dict[str, Any]:
    if paired:
        # The same documents on all sides, or their intervals would not be those of pairs.
        whole = np.isfinite([side.ppl for side in sides]).all(axis=0)
        ppl = [np.array(side.ppl)[whole] for side in sides]
    else:
        ppl = [side.finite() for side in sides]
    ranked = [np.sort(one) for one in ppl]
    axis = coverage.common_axis(ranked, options.log)
    found = [
        side.counts() | coverage.side(one, axis, options.resamples, options.seed)
        for side, one in zip(sides, ranked, strict=True)
    ]
    pairs = []
    for i, j in itertools.combinations(range(len(sides)), 2):
        pair: dict[str, Any] = {"left": sides[i].name, "right": sides[j].name}
        if axis is not None and len(ppl[i]) and len(ppl[j]):
            two = (ppl[i], ppl[j]) if paired else (ranked[i], ranked[j])
            pair |= coverage.compare(*two, axis, options.resamples, options.seed, paired)
            if paired:
                pair["log_ratio"] = _log_ratio(sides[i], sides[j], whole, options, sides[0].sampled)
        pairs.append(pair)
    return {
        "kind": "ppl-models" if paired else "ppl-compare",
        "scale": "log" if options.log else "linear",
        "bootstrap": options.resamples,
        "density_unit": "per nat of ln ppl" if options.log else "per unit of perplexity",
        "grid": None if axis is None else axis.ppl(axis.points),
        "edges": None if axis is None else axis.ppl(axis.edges),
        "inputs": found,
        "pairs": pairs,
    }


def _log_ratio(
    one: Scored,
    other: Scored,
    whole: np.ndarray,
    options: Comparing,
    sampled: Counter[Sampling],
) -> dict[str, Any]:
    tokens = [np.array(side.tokens)[whole] for side in (one, other)]
    nats = [np.array(side.nll)[whole] * n for side, n in zip((one, other), tokens, strict=True)]
    same = one.cuts == other.cuts and bool((tokens[0] == tokens[1]).all())
    return log_ratio(
        (nats[0], nats[1]),
        (tokens[0], tokens[1]),
        (np.array(one.scored_bytes)[whole], np.array(other.scored_bytes)[whole]),
        same,
        options.epsilon,
        options.resamples,
        options.seed,
        sampled,
    )
