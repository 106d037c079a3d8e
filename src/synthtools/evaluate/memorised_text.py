"""What a model still has of some texts: their likelihood token by token, and how it continues them.

Names and definitions as in open-unlearning, TOFU (arXiv 2401.06121) and MUSE (arXiv 2407.06460): a text is
what follows its prompt, and only its own tokens count. Attacks on membership are losses, lower where a text
is more likely to have been trained on:

    loss        mean −ln P of a token
    zlib        loss / bytes of the zlib-compressed text       (Carlini et al. 2021, arXiv 2012.07805)
    min_k       minus Min-K%, min_k_plus minus Min-K%++        (``measure.detection``, k = 20)
    reference   loss − loss under another model
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from synthtools.lm.generation import Generator, Prompt
from synthtools.lm.scorer import LanguageModel
from synthtools.lm.scores import ScoreRequest
from synthtools.measure.detection import detector_score
from synthtools.text import rouge

_TOGETHER = 64


class AuditItem(NamedTuple):
    """A text, the prompt before it (empty: none), and wrong texts in its place."""

    id: str
    prompt: str
    text: str
    wrong: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """What stands before the text: the prompt and an empty line, as it was forgotten."""
        return f"{self.prompt}\n\n" if self.prompt else ""


class TextLikelihoods(NamedTuple):
    """Of each text, float64 [texts]; NaN where it has too few tokens.

    Attributes:
        loss, zlib, min_k, min_k_plus: attacks, see above.
        exact: share of its tokens that are the most probable (exact memorization).
        strength: 1 − k/n, of n tokens the last n − k are all the most probable (extraction strength,
            arXiv 2407.21077); 0 where the last one is not (open-unlearning: 1/n).
        tokens: how many were scored; entropy, cross: sums over them of the model's own entropy and of
            −Σ q ln p under the observer's q, nats.
    """

    loss: np.ndarray
    zlib: np.ndarray
    min_k: np.ndarray
    min_k_plus: np.ndarray
    exact: np.ndarray
    strength: np.ndarray
    tokens: np.ndarray
    entropy: np.ndarray
    cross: np.ndarray

    @property
    def probability(self) -> np.ndarray:
        """exp(−loss), the geometric mean of the tokens' probabilities, as in TOFU."""
        return np.asarray(np.exp(-self.loss))


def likelihoods(model: LanguageModel, items: Sequence[AuditItem]) -> TextLikelihoods:
    """Scores all texts after their prompts."""
    rows = []
    for first in range(0, len(items), _TOGETHER):
        some = items[first : first + _TOGETHER]
        tokens = model.tokenise([i.text for i in some], [i.head for i in some])
        for item, scores in zip(
            some, model.score(tokens, ScoreRequest(distribution=True)), strict=True
        ):
            assert scores.distribution is not None
            known = ~np.isnan(scores.logprobs)
            count = int(known.sum())
            top = scores.distribution.rank[known] == 1
            wrong = np.flatnonzero(~top)
            loss = -float(scores.logprobs[known].mean()) if count else np.nan
            found = detector_score(scores)
            rows.append(
                (
                    loss,
                    loss / len(zlib.compress(item.text.encode())),
                    np.nan if found.min_k is None else -found.min_k,
                    np.nan if found.min_k_plus is None else -found.min_k_plus,
                    top.mean() if count else np.nan,
                    1 - (wrong[-1] + 1 if len(wrong) else 0) / count if count else np.nan,
                    count,
                    float(scores.distribution.entropy[known].sum(dtype=np.float64)),
                    float(scores.distribution.cross_entropy[known].sum(dtype=np.float64)),
                )
            )
    return TextLikelihoods(*np.array(rows, np.float64).reshape(len(rows), 9).T)


class ContinuedTexts(NamedTuple):
    """Of each text, float64 [texts], NaN where the prompt does not fit: ROUGE-L between what the model
    writes and what the text has there, and 1 where all words are equal."""

    rouge: np.ndarray
    exact: np.ndarray


def split(text: str) -> tuple[str, str]:
    """The first half of a text's words, and the rest with the blank before it."""
    words = text.split()
    place = 0
    for word in words[: len(words) // 2]:
        place = text.index(word, place) + len(word)
    return text[:place], text[place:]


def continuations(
    generator: Generator, items: Sequence[AuditItem], heads: Sequence[str], words: int
) -> ContinuedTexts:
    """Greedy continuations of heads, beside the texts.

    Args:
        generator: at temperature 0; items: whose texts the continuations are compared with.
        words: of both that are compared.
    """
    prompts = (
        Prompt(item.id.encode(), head or item.text[:1])
        for item, head in zip(items, heads, strict=True)
    )
    rows = []
    for item, answer in zip(items, generator.generate(prompts), strict=True):
        wanted = rouge.words(item.text)[:words]
        got = rouge.words(answer.text)[: len(wanted)]
        failed = answer.error is not None or not wanted
        rows.append((np.nan, np.nan) if failed else (rouge.rouge_l(wanted, got), wanted == got))
    return ContinuedTexts(*np.array(rows, np.float64).reshape(len(rows), 2).T)
