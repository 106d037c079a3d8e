"""Records → records with their scores under a language model, and scores from one pass for detecting generated text.

Of the scored tokens, with ℓ = ln P of the token, H = −Σ p ln p and V the variance of ln p under p:

    entropy      mean H                                       nats
    log_rank     mean ln rank, 1 for the most probable token  (Log-Rank, in DetectGPT, arXiv 2301.11305)
    top_1        share of the tokens that are the most probable
    fast_detect  (Σ ℓ + Σ H) / √Σ V     the analytic curvature of Fast-DetectGPT, arXiv 2310.05130
    min_k        mean of the lowest fifth of ℓ                (Min-K%, arXiv 2310.16789, k = 20)
    min_k_plus   mean of the lowest fifth of (ℓ + H) / √V     (Min-K%++, arXiv 2404.02936, k = 20)
    spread       standard deviation of ℓ
    entropy_spread  standard deviation of H: how uniform the model's certainty is [ours]
    binoculars   −Σ ℓ / Σ −Σ q ln p, q of the observer        (Binoculars, arXiv 2401.12070)

None of them decides who wrote a single text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from synthtools.lm.generation import Answer
from synthtools.lm.scorer import LanguageModel, Tokenised
from synthtools.lm.scores import ScoreRequest, Scores
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.measure.perplexity import DocumentScore, document_score
from synthtools.records.added_column import Column
from synthtools.records.batch import Batch
from synthtools.records.rejects import Rejects
from synthtools.records.transform import in_calls, without_failing
from synthtools.scale.prefetch import gathered, overlapped

# Min-K% and Min-K%++ use one in so many tokens (20 %, as in the papers), rounded down.
_LOWEST = 5


class DetectorScore(NamedTuple):
    """A document's scores; None if it is too short, or the backend does not provide them."""

    entropy: float | None = None
    log_rank: float | None = None
    top_1: float | None = None
    fast_detect: float | None = None
    min_k: float | None = None
    min_k_plus: float | None = None
    spread: float | None = None
    entropy_spread: float | None = None
    binoculars: float | None = None


def detector_score(scores: Scores) -> DetectorScore:
    """Detection scores of a document scored with distributions, in float64."""
    assert scores.distribution is not None
    scored = ~np.isnan(scores.logprobs)
    logprobs = scores.logprobs[scored].astype(np.float64)
    entropy, variance, rank, cross = (
        numbers[scored].astype(np.float64) for numbers in scores.distribution
    )
    lowest = len(logprobs) // _LOWEST
    if not len(logprobs):
        return DetectorScore()
    total = float(variance.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        # For a certain token both are 0, up to rounding: its log-probability equals its expectation.
        normal = np.where(variance > 0, (logprobs + entropy) / np.sqrt(variance), 0.0)
    normal[np.isnan(variance)] = np.nan
    return DetectorScore(
        entropy=_known(entropy.mean()),
        log_rank=_known(np.log(rank).mean()),
        top_1=float((rank == 1).mean()) if not np.isnan(rank).any() else None,
        fast_detect=_known((logprobs + entropy).sum() / math.sqrt(total)) if total > 0 else None,
        min_k=_known(np.sort(logprobs)[:lowest].mean()) if lowest else None,
        min_k_plus=_known(np.sort(normal)[:lowest].mean()) if lowest else None,
        spread=_known(logprobs.std()) if len(logprobs) > 1 else None,
        entropy_spread=_known(entropy.std()) if len(logprobs) > 1 else None,
        binoculars=_known(-logprobs.sum() / cross.sum()) if cross.sum() != 0 else None,
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


@dataclass
class ScoredBatch:
    """A batch with its scores.

    Attributes:
        scores: of each record; documents: their perplexities; scored_bytes: of each text, the bytes
            of its scored tokens.
    """

    batch: Batch
    scores: list[Scores]
    documents: list[DocumentScore]
    scored_bytes: list[int]


def scored(
    batches: Iterable[Batch],
    model: LanguageModel,
    request: ScoreRequest,
    text_field: str,
    prompt_field: str | None = None,
    rejects: Rejects | None = None,
) -> Iterator[ScoredBatch]:
    """Scores records; reading and tokenising, the model, and the caller run in parallel.

    Args:
        prompt_field: a field with context before the record's text, which is not scored.
        rejects: receives the records on which the tokenizer fails; without it the first such record ends the run.
    """

    def tokens_of(run: list[Batch]) -> list[Tokenised]:
        texts = [text for batch in run for text in batch.column(text_field)]
        prompts = None
        if prompt_field is not None:
            prompts = [prompt for batch in run for prompt in batch.column(prompt_field)]
        return model.tokenise(texts, prompts)

    def tokenise(run: list[Batch]) -> tuple[list[Batch], list[Tokenised]]:
        left, tokens = without_failing(run, tokens_of, rejects or Rejects())
        model.progress.bring(
            sum(int(batch.sizes().sum()) for batch in run), sum(len(t.ids) for t in tokens)
        )
        return left, tokens

    def score(item: tuple[list[Batch], list[Tokenised]]) -> tuple[list[Batch], list[Scores]]:
        run, texts = item
        return run, model.score(texts, request)

    runs = in_calls(batches, lambda batch: batch.sizes(), Batch.take, model.chunk_bytes)
    for run, scores in overlapped(runs, tokenise, score, at_once=model.calls):
        start = 0
        for batch in run:
            part = scores[start : start + len(batch)]
            yield _scored_batch(batch, part, batch.column(text_field), model.tokenizer)
            start += len(batch)


def _scored_batch(
    batch: Batch, scores: list[Scores], texts: list[str], tokenizer: TextTokenizer
) -> ScoredBatch:
    sizes = []
    for text, score in zip(texts, scores, strict=True):
        # Only the first token can be unscored.
        unscored = len(score.ids) > 0 and bool(np.isnan(score.logprobs[0]))
        before = tokenizer.bytes_of_first(text, score.ids) if unscored else 0
        sizes.append(len(text.encode("utf-8")) - before)
    documents = [document_score(s.logprobs, n) for s, n in zip(scores, sizes, strict=True)]
    return ScoredBatch(batch, scores, documents, sizes)


def with_fields(
    item: ScoredBatch, tokens: bool, candidates: bool, detector: Collection[str] = ()
) -> Batch:
    """The batch with ``ppl``, ``nll``, ``n_tokens``, ``bits_per_byte``, and on request
    ``token_ids`` and ``token_logprobs``, and ``candidates``.

    Args:
        detector: fields of ``DetectorScore``.
    """
    documents = item.documents
    columns = {
        "ppl": Column("float", [d.ppl for d in documents]),
        "nll": Column("float", [d.nll for d in documents]),
        "n_tokens": Column("int", [d.n_tokens for d in documents]),
        "bits_per_byte": Column("float", [d.bits_per_byte for d in documents]),
    }
    if detector:
        detected = [detector_score(s)._asdict() for s in item.scores]
        columns |= {name: Column("float", [d[name] for d in detected]) for name in detector}
    if tokens or candidates:
        columns["token_ids"] = Column("ids", [s.ids for s in item.scores])
        columns["token_logprobs"] = Column("logprobs", [s.logprobs for s in item.scores])
    if candidates:
        columns["candidates"] = Column("candidates", [s.candidates for s in item.scores])
    counts = np.array([d.n_tokens for d in documents], np.int64)
    return item.batch.adding(columns, {"tokens": counts})


def perplexities_of_answers(
    model: LanguageModel,
) -> Callable[[object, Sequence[Answer]], list[float | None]]:
    """The perplexity of answers, whatever the prompts; None where no token of one has a probability."""

    def score(prompts: object, answers: Sequence[Answer]) -> list[float | None]:
        perplexities: list[float | None] = []
        for some in gathered(answers, lambda one: len(one.text), model.chunk_bytes):
            tokens = model.tokenise([answer.text for answer in some])
            scores = model.score(tokens, ScoreRequest())
            perplexities += [document_score(one.logprobs, 0).ppl for one in scores]
        return perplexities

    return score
