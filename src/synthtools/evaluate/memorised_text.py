"""Memorisation of texts: their likelihood token by token, and how a model continues them.

Names and definitions follow open-unlearning, TOFU (arXiv 2401.06121) and MUSE (arXiv 2407.06460): a text follows
its prompt, and only the text's tokens count. Membership attacks are losses, lower for texts that are more likely
training data:

    loss        mean −ln P per token
    zlib        loss / bytes of the zlib-compressed text       (Carlini et al. 2021, arXiv 2012.07805)
    min_k       minus Min-K%, min_k_plus minus Min-K%++        (``measure.scored_records``, k = 20)
    reference   loss − loss under another model
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from synthtools.errors import SynthError
from synthtools.lm.chat import ChatTokenizer
from synthtools.lm.generation import Generator, Prompt
from synthtools.lm.scorer import LanguageModel, Tokenised
from synthtools.lm.scores import ScoreRequest
from synthtools.measure.scored_records import detector_score
from synthtools.records.batch import MISSING, Batch
from synthtools.records.rejects import Rejects
from synthtools.text import rouge

_TOGETHER = 64


class AuditItem(NamedTuple):
    """A text, its prompt (empty: none), and wrong alternatives to the text. ``before``: in a conversation, the
    messages before the prompt; None otherwise."""

    id: str
    prompt: str
    text: str
    wrong: tuple[str, ...] = ()
    before: tuple[dict[str, str], ...] | None = None

    @classmethod
    def of(cls, key: str, document: Any, wrong: tuple[str, ...]) -> AuditItem:
        """From (prompt or None, text), or from messages, the last answer of which is the text."""
        if isinstance(document, tuple):
            return cls(key, document[0] or "", document[1], wrong)
        answered = [m["role"] == "assistant" and bool(m["content"].strip()) for m in document]
        place = len(answered) - 1 - answered[::-1].index(True)
        has_prompt = place > 0 and document[place - 1]["role"] == "user"
        prompt = document[place - 1]["content"] if has_prompt else ""
        before = tuple(document[: place - has_prompt])
        return cls(key, prompt, document[place]["content"], wrong, before)

    @property
    def head(self) -> str:
        """What precedes the text: the prompt and an empty line, as in unlearning."""
        return f"{self.prompt}\n\n" if self.prompt else ""

    @property
    def turns(self) -> tuple[dict[str, str], ...]:
        """The messages before the text."""
        prompt = ({"role": "user", "content": self.prompt},) if self.prompt else ()
        return (self.before or ()) + prompt


class ItemRendering(NamedTuple):
    """How prompts and texts are rendered for a model. ``chat``: by its chat template, or a plain one of ours if it
    has none; ``templated``: not only conversations, but prompts with texts, too."""

    chat: ChatTokenizer
    templated: bool

    def by_template(self, item: AuditItem) -> bool:
        return item.before is not None or (self.templated and bool(item.prompt))

    def check(self, items: Sequence[AuditItem]) -> None:
        """Raises SynthError: the template cannot render one of them."""
        for item in filter(self.by_template, items):
            self._tokens(item)

    def tokens(self, model: LanguageModel, items: Sequence[AuditItem]) -> list[Tokenised]:
        """The texts as tokens, with their prompts."""
        plain = [item for item in items if not self.by_template(item)]
        rest = iter(model.tokenise([i.text for i in plain], [i.head for i in plain]))
        return [self._tokens(i) if self.by_template(i) else next(rest) for i in items]

    def _tokens(self, item: AuditItem) -> Tokenised:
        messages = [*item.turns, {"role": "assistant", "content": item.text}]
        try:
            prompt, ids = self.chat.answered(messages)
        except SynthError as error:
            raise SynthError(f"record {item.id}: {error}") from error
        return Tokenised(ids, prompt, rendered=True)

    def prompt(self, item: AuditItem, begun: str = "") -> Prompt:
        """The prompt of a text, continued with its beginning ``begun``."""
        key = item.id.encode()
        if self.by_template(item):
            return Prompt(key, messages=item.turns, begun=begun)
        return Prompt(key, (item.head + begun) or item.text[:1])


class TextLikelihoods(NamedTuple):
    """For each text, float64 [texts]; NaN if it has too few tokens.

    Attributes:
        loss, zlib, min_k, min_k_plus: attacks, see above.
        exact: share of its tokens that are the most probable (exact memorization).
        strength: 1 − k/n if the last n − k of n tokens are all the most probable (extraction strength,
            arXiv 2407.21077); 0 if the last one is not (open-unlearning: 1/n).
        tokens: number scored; entropy, cross: sums over them of the model's own entropy and of −Σ q ln p
            under the observer's q, in nats.
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


def likelihoods(
    model: LanguageModel, items: Sequence[AuditItem], rendering: ItemRendering
) -> TextLikelihoods:
    """Scores all texts after their prompts."""
    rows = []
    for first in range(0, len(items), _TOGETHER):
        some = items[first : first + _TOGETHER]
        tokens = rendering.tokens(model, some)
        for item, scores in zip(
            some, model.score(tokens, ScoreRequest(distribution=True)), strict=True
        ):
            assert scores.distribution is not None
            known = ~np.isnan(scores.logprobs)
            count = int(known.sum())
            top = scores.distribution.rank[known] == 1
            wrong = np.flatnonzero(~top)
            loss = -float(scores.logprobs[known].mean()) if count else np.nan
            detector = detector_score(scores)
            rows.append(
                (
                    loss,
                    loss / len(zlib.compress(item.text.encode())),
                    np.nan if detector.min_k is None else -detector.min_k,
                    np.nan if detector.min_k_plus is None else -detector.min_k_plus,
                    top.mean() if count else np.nan,
                    1 - (wrong[-1] + 1 if len(wrong) else 0) / count if count else np.nan,
                    count,
                    float(scores.distribution.entropy[known].sum(dtype=np.float64)),
                    float(scores.distribution.cross_entropy[known].sum(dtype=np.float64)),
                )
            )
    return TextLikelihoods(*np.array(rows, np.float64).reshape(len(rows), 9).T)


class ContinuedTexts(NamedTuple):
    """For each text, float64 [texts], NaN if the prompt does not fit: ROUGE-L of the continuation against the
    text, and 1 if all words are equal."""

    rouge: np.ndarray
    exact: np.ndarray


def split(text: str) -> tuple[str, str]:
    """The first half of a text's words, and the rest with the preceding white space."""
    words = text.split()
    place = 0
    for word in words[: len(words) // 2]:
        place = text.index(word, place) + len(word)
    return text[:place], text[place:]


def continuations(
    generator: Generator,
    items: Sequence[AuditItem],
    rendering: ItemRendering,
    words: int,
    halves: bool = False,
) -> ContinuedTexts:
    """Compares greedy continuations of prompts with the texts.

    Args:
        generator: at temperature 0; words: at most, of both, are compared.
        halves: continue the prompt and the first half of each text; compare the second half.
    """
    parts = [split(item.text) if halves else ("", item.text) for item in items]
    prompts = (rendering.prompt(item, begun) for item, (begun, _) in zip(items, parts, strict=True))
    rows = []
    for (_, text), answer in zip(parts, generator.generate(prompts), strict=True):
        expected = rouge.words(text)[:words]
        written = rouge.words(answer.text)[: len(expected)]
        if answer.error is not None or not expected:
            rows.append((np.nan, np.nan))
        else:
            rows.append((rouge.rouge_l(expected, written), expected == written))
    return ContinuedTexts(*np.array(rows, np.float64).reshape(len(rows), 2).T)


def items_of(
    batches: Iterable[Iterable[tuple[Batch, Sequence[Any]]]], rejects: Rejects, limit: int
) -> list[AuditItem]:
    """The sound ones of records, up to a limit. ``batches``: parts of a batch, with the documents that their
    records are read as."""
    items: list[AuditItem] = []
    for parts in batches:
        for batch, documents in parts:
            ids, wrong = batch.column("id"), batch.column("perturbed")
            for number, document in enumerate(documents):
                own = ids[number] if ids[number] is not MISSING else int(batch.numbers[number])
                others = [] if wrong[number] in (MISSING, None) else wrong[number]
                if not isinstance(others, list) or not all(_says(text) for text in others):
                    rejects.add(batch.fault(number, 'field "perturbed" is not a list of texts'))
                    continue
                item = AuditItem.of(str(own), document, tuple(others))
                if _says(item.text):
                    items.append(item)
                else:
                    rejects.add(batch.fault(number, "the text is empty: nothing to ask for"))
        if len(items) >= limit:
            break
    return items[:limit]


def _says(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())
