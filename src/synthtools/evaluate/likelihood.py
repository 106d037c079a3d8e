"""Log-likelihoods of endings after prompts, tokenised as in lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from synthtools.lm.scorer import NO_PROMPT, LanguageModel, Tokenised
from synthtools.lm.scores import ScoreRequest, Scores
from synthtools.scale.prefetch import gathered, overlapped

# The number of most probable tokens that a vLLM server returns by default.
CANDIDATES = 20


class Continuations(NamedTuple):
    """Endings of an item, each after its prompt."""

    prompts: Sequence[str]
    endings: Sequence[str]


class Likelihoods(NamedTuple):
    """The model's probabilities of an item's endings.

    Attributes:
        logprobs: float64 [endings], ln P(ending | prompt) in nats.
        tokens: int64 [endings], number of tokens.
        cut: tokens cut from the beginning of the prompt to fit the context, at most.
    """

    logprobs: np.ndarray
    tokens: np.ndarray
    cut: int


class _Cut(NamedTuple):
    texts: list[Tokenised]
    lost: int


def likelihoods(model: LanguageModel, items: Iterable[Continuations]) -> Iterator[Likelihoods]:
    """Scores endings, items in order; reading, tokenising and scoring overlap. A prompt that does not fit into the
    context loses its beginning, as in the harness. If all endings of an item are one token after the same
    prompt, one pass scores them all."""

    def tokenise(run: list[Continuations]) -> list[_Cut]:
        pairs = [pair for item in run for pair in zip(item.prompts, item.endings, strict=True)]
        texts = iter(tokenised(model, pairs))
        cuts = []
        for item in run:
            whole = list(islice(texts, len(item.endings)))
            kept = [fitting(text, model.capacity) for text in whole]
            lost = max(len(a.prompt) - len(b.prompt) for a, b in zip(whole, kept, strict=True))
            cuts.append(_Cut(kept, lost))
        return cuts

    runs = gathered(
        items, lambda item: sum(len(p) for p in item.prompts), max(1, model.chunk_bytes)
    )
    for scored in overlapped(
        runs, tokenise, lambda cuts: list(_scored(model, cuts)), at_once=model.calls
    ):
        yield from scored


def tokenised(model: LanguageModel, pairs: Sequence[tuple[str, str]]) -> list[Tokenised]:
    """Prompt and ending as tokens, split as in lm-evaluation-harness for causal models: the tokens of the prompt
    alone, then those of the whole text beyond as many. If a token of the whole crosses the boundary, part of the
    ending is left out or scored after other tokens than in the whole. White space at the prompt's end belongs to
    the ending; an ending without a prompt follows begin-of-text (or end-of-text)."""
    moved = []
    for prompt, ending in pairs:
        bare = prompt.rstrip()
        moved.append((bare, prompt[len(bare) :] + ending) if bare else (prompt, ending))
    starts = list(dict.fromkeys(prompt for prompt, _ in moved))
    before = dict(zip(starts, model.tokenizer.encode(starts), strict=True))
    nothing = _nothing_before(model)
    wholes = model.tokenizer.encode([prompt + ending for prompt, ending in moved])
    texts = [
        Tokenised(whole[len(before[prompt]) :], before[prompt] if len(before[prompt]) else nothing)
        for (prompt, _), whole in zip(moved, wholes, strict=True)
    ]
    for place, (_, ending) in enumerate(moved):
        if ending and not len(texts[place].ids):
            # Nothing is left of it (the harness refuses such a pair): encode it alone, or it would have no loss.
            texts[place] = texts[place]._replace(ids=model.tokenizer.encode([ending])[0])
    return texts


def _nothing_before(model: LanguageModel) -> np.ndarray:
    tokenizer = model.tokenizer
    first = tokenizer.eos_id if tokenizer.bos_id is None else tokenizer.bos_id
    if model.description["begin_of_text"] or first is None:
        return NO_PROMPT  # the model adds it, or there is none
    return np.array([first], np.int32)


def fitting(text: Tokenised, capacity: int) -> Tokenised:
    """The text with as much of the end of its prompt as fits into the context."""
    room = capacity - len(text.ids)
    if room < 1 or len(text.prompt) <= room:
        return text  # an ending longer than the context goes through windows
    return text._replace(prompt=text.prompt[-room:])


def _scored(model: LanguageModel, cuts: list[_Cut]) -> Iterator[Likelihoods]:
    single = [index for index, cut in enumerate(cuts) if _one_token_each(cut.texts)]
    plain = sorted({*range(len(cuts))} - {*single})
    logprobs = [np.full(len(cut.texts), np.nan) for cut in cuts]
    tops = (
        model.score([cuts[i].texts[0] for i in single], ScoreRequest(CANDIDATES)) if single else []
    )
    for index, top in zip(single, tops, strict=True):
        known = {int(top.ids[0]): float(top.logprobs[0])}
        if top.candidates is not None and len(top.candidates.ids):
            ids, values = top.candidates.ids[0].tolist(), top.candidates.logprobs[0].tolist()
            known |= zip(ids, values, strict=True)
        logprobs[index][:] = [known.get(int(text.ids[0]), np.nan) for text in cuts[index].texts]
    # Tokens that are not among the candidates are scored one by one.
    rest = [(i, k) for i in (*plain, *single) for k in np.flatnonzero(np.isnan(logprobs[i]))]
    scores = model.score([cuts[i].texts[k] for i, k in rest], ScoreRequest()) if rest else []
    for (index, place), score in zip(rest, scores, strict=True):
        logprobs[index][place] = total(score)
    for index, cut in enumerate(cuts):
        sizes = np.array([len(text.ids) for text in cut.texts], np.int64)
        yield Likelihoods(logprobs[index], sizes, cut.lost)


def _one_token_each(texts: list[Tokenised]) -> bool:
    first = texts[0]
    return len(texts) > 1 and all(
        len(text.ids) == 1
        and len(text.prompt) > 0
        and (text.prompt is first.prompt or np.array_equal(text.prompt, first.prompt))
        for text in texts
    )


def next_tokens(
    model: LanguageModel,
    prompts: Iterable[str],
    tokens: Sequence[int],
    encode: Callable[[list[str]], list[np.ndarray]] | None = None,
) -> Iterator[np.ndarray | None]:
    """ln P of the given tokens right after each prompt, float64 [tokens], in one pass per prompt; None if the
    prompt does not fit into the context.

    Args:
        encode: prompts → token ids, int32; None: the tokenizer's.
    """
    encoded = encode or model.tokenizer.encode

    def cut(run: list[str]) -> list[_Cut | None]:
        return [
            _Cut([Tokenised(np.array([token], np.int32), ids) for token in tokens], 0)
            if len(ids) < model.capacity
            else None
            for ids in encoded(run)
        ]

    def score(cuts: list[_Cut | None]) -> list[np.ndarray | None]:
        scored = _scored(model, [one for one in cuts if one is not None])
        return [None if one is None else next(scored).logprobs for one in cuts]

    for scores in overlapped(gathered(prompts, len, max(1, model.chunk_bytes)), cut, score):
        yield from scores


def total(score: Scores) -> float:
    """The sum of an ending's log-probabilities; a first token without one counts as 0."""
    return 0.0 + float(np.nansum(score.logprobs.astype(np.float64)))
