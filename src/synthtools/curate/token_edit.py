"""Token-level editing with a prior: ToEdit (arXiv 2412.14689, equation 2).

    x'_i = x_i                    if P(x_i | x_<i) <  p
    x'_i = a draw from the prior  if P(x_i | x_<i) ≥ p

All probabilities come from one pass over the original text, so that edits are independent. The draw is from
q(c) ∝ P(c)^(1/β) over the k most probable tokens (β is ``temperature``; 1.5 in the authors' ``up_revise``). These include
the observed token whenever P > 0.5, so that most draws return it: at P = 0.99, k = 8 and β = 1.5 at most 8.2 % of the
flagged tokens change. *Flagged* and *changed* tokens are therefore counted separately.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from synthtools.draws import uniforms
from synthtools.lm.scores import ScoreRequest, Scores
from synthtools.lm.text_tokenizer import TextTokenizer

# Candidates for top-p without top_k [ours]: the same for every backend.
TOP_P_POOL = 64

# The rejection samplers: that of the authors' code (its n-gram script: reward P, softmax of rewards over β as the
# probability of acceptance, the first accepted), and an exact one for the target of arXiv 2309.06657,
# P(c)·exp(r_c/β), with r_c = ln P(c) [ours].
AUTHORS, EXACT = "authors", "exact"
_AUTHORS_BETA = 0.5


@dataclass(frozen=True)
class Rules:
    """Which tokens are edited, and how replacements are drawn.

    Attributes:
        threshold: resample tokens of at least this probability; None: do not.
        below: resample tokens of at most this probability; None: do not.
        drop_below: delete tokens below this probability; None: do not.
        top_k: candidates of a draw.
        top_p: draw from the smallest set of candidates with at least this mass.
        rejection: use rejection sampling (arXiv 2309.06657, algorithm 1), ``authors`` or ``exact``; None: draw
            from q.
        temperature: β.
        exclude_observed: the observed token is not a candidate.
    """

    threshold: float | None = 0.99
    below: float | None = None
    drop_below: float | None = None
    top_k: int = 8
    top_p: float | None = None
    rejection: str | None = None
    temperature: float = 1.5
    exclude_observed: bool = False

    @classmethod
    def of(cls, options: Any) -> Rules:
        """The rules from a tool's options of these names. Defaults depend on other options: the threshold is 0.99
        unless another condition is given; top-p uses ``TOP_P_POOL`` tokens at temperature 1; the authors'
        rejection sampler has β = 0.5."""
        given = {field.name: getattr(options, field.name) for field in fields(cls)}
        plain = given["top_p"] is None
        usual = cls.temperature if plain else 1.0
        if all(given[name] is None for name in ("threshold", "below", "drop_below")):
            given["threshold"] = cls.threshold
        given["top_k"] = given["top_k"] or (cls.top_k if plain else TOP_P_POOL)
        given["temperature"] = given["temperature"] or (
            _AUTHORS_BETA if given["rejection"] == AUTHORS else usual
        )
        return cls(**given)

    @property
    def resamples(self) -> bool:
        return self.threshold is not None or self.below is not None

    def request(self) -> ScoreRequest:
        """The scores needed from the model."""
        if not self.resamples:
            return ScoreRequest()
        # With the observed token left out, one more candidate keeps k to draw from.
        return ScoreRequest(self.pool, self.threshold, self.below)

    @property
    def pool(self) -> int:
        return self.top_k + (1 if self.exclude_observed else 0)


class Edited(NamedTuple):
    """An edited text.

    Attributes:
        text: valid Unicode, equal to the original outside the changed tokens.
        tokens: of the original.
        flagged: tokens that met a condition and were resampled.
        changed: tokens whose text changed.
        dropped: tokens deleted.
        held: draws that cannot be written into the text (a special token, part of a character), so that the
            observed token is kept [ours].
    """

    text: str
    tokens: int
    flagged: int
    changed: int
    dropped: int
    held: int


def edit(
    text: str,
    scores: Scores,
    rules: Rules,
    tokenizer: TextTokenizer,
    *,
    seed: int,
    record: int,
    generation: int = 0,
) -> Edited:
    """Edits one text.

    Args:
        scores: of this text, with candidates if ``rules.request()`` requests them.
        record: its key (see ``records.record_keys``).
        generation: of repeated edits, from 0.
    """
    flagged, dropped = conditions(scores.logprobs, rules)
    positions = np.flatnonzero(flagged)
    new: dict[int, bytes] = {}
    held = changed = deleted = 0
    replacements: list[tuple[int, int]] = []
    if len(positions):
        assert scores.candidates is not None
        observed = scores.ids[positions]
        row = (np.cumsum(scores.candidates.present) - 1)[positions]
        candidates = scores.candidates.ids[row], scores.candidates.logprobs[row]
        drawn = draw(candidates, observed, rules, seed, record, generation, positions)
        differs = drawn != observed
        replacements = list(zip(positions[differs].tolist(), drawn[differs].tolist(), strict=True))
    drops = np.flatnonzero(dropped).tolist()
    if not replacements and not drops:
        return Edited(text, len(scores.ids), len(positions), 0, 0, 0)

    content = text.encode("utf-8")
    spans = tokenizer.spans(text, scores.ids)

    def whole_characters(place: int) -> bool:
        start, end = int(spans.start[place]), int(spans.end[place])
        return start >= 0 and _is_boundary(content, start) and _is_boundary(content, end)

    for place, identifier in replacements:
        surface = _text_of(tokenizer, identifier)
        if surface is None or not whole_characters(place):
            held += 1
        elif surface != content[spans.start[place] : spans.end[place]]:
            new[place] = surface
            changed += 1
    for place in drops:
        if whole_characters(place):
            new[place] = b""
            deleted += 1
        else:
            held += 1
    pieces, end = [], 0
    for place in sorted(new):
        pieces += [content[end : spans.start[place]], new[place]]
        end = int(spans.end[place])
    pieces.append(content[end:])
    edited = b"".join(pieces).decode("utf-8")
    return Edited(edited, len(scores.ids), len(positions), changed, deleted, held)


def conditions(logprobs: np.ndarray, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """Which tokens are resampled and which are deleted, bool [n] each. The first token, which has no probability, is
    never edited."""
    known = ~np.isnan(logprobs)
    known[:1] = False
    values = logprobs.astype(np.float64)

    def log(probability: float | None) -> float:
        """NaN, for which all comparisons are false, for unused rules."""
        if probability is None:
            return math.nan
        return math.log(probability) if probability > 0 else -math.inf

    flagged = (values >= log(rules.threshold)) | (values <= log(rules.below))
    dropped = values < log(rules.drop_below)
    return flagged & known & ~dropped, dropped & known


def draw(
    candidates: tuple[np.ndarray, np.ndarray],
    observed: np.ndarray,
    rules: Rules,
    seed: int,
    record: int,
    generation: int,
    positions: np.ndarray,
) -> np.ndarray:
    """One token for each position; the observed one if no candidate is left.

    Args:
        candidates: (ids, logprobs), [m, k] by decreasing probability.
        observed: int32 [m].

    Returns:
        int32 [m].
    """
    ids, logprobs = candidates[0], candidates[1].astype(np.float64)
    allowed = logprobs > -np.inf
    if rules.exclude_observed:
        allowed &= ids != observed[:, None]
    allowed &= np.cumsum(allowed, 1) <= rules.top_k
    if rules.top_p is not None:
        mass = np.cumsum(np.where(allowed, np.exp(logprobs), 0.0), 1)
        # A candidate is in the smallest set if the mass before it is less than p.
        before = np.concatenate([np.zeros((len(ids), 1)), mass[:, :-1]], 1)
        allowed &= before < rules.top_p
    nothing = ~allowed.any(1)
    best = np.where(allowed, logprobs, -np.inf).max(1, initial=-np.inf, keepdims=True)
    best[nothing] = 0.0
    if rules.rejection == AUTHORS:
        weights = _first_accepted(np.where(allowed, np.exp(logprobs), -np.inf), rules.temperature)
    else:
        # Proposing from P and accepting with P^(1/β) samples from their product.
        power = 1 / rules.temperature + (rules.rejection == EXACT)
        weights = np.where(allowed, np.exp((logprobs - best) * power), 0.0)
    total = np.cumsum(weights, 1)
    aim = uniforms(seed, record, generation, positions) * total[:, -1]
    picked = (total <= aim[:, None]).sum(1)
    picked[nothing] = 0
    drawn = ids[np.arange(len(ids)), picked]
    return np.where(nothing, observed, drawn).astype(np.int32)


def _first_accepted(rewards: np.ndarray, temperature: float) -> np.ndarray:
    """The probability, up to a factor per row, that each candidate is the first to be accepted.

    Rounds go over the candidates in their order, each accepted with probability
    a_c = exp(r_c/β)/Σ exp(r/β), until one is accepted: Q(c) ∝ a_c · Π_{before c} (1 − a).

    Args:
        rewards: float64 [m, k]; −inf for tokens that are not candidates.
    """
    best = rewards.max(1, initial=-np.inf, keepdims=True)
    best[np.isinf(best)] = 0.0
    accepted = np.exp((rewards - best) / temperature)
    accepted /= np.maximum(accepted.sum(1, keepdims=True), 1)
    passed = np.cumprod(1 - accepted, 1)
    chance: np.ndarray = accepted * np.concatenate([np.ones((len(rewards), 1)), passed[:, :-1]], 1)
    return chance


def _is_boundary(content: bytes, place: int) -> bool:
    """Whether a byte position is a character boundary."""
    return place >= len(content) or content[place] & 0xC0 != 0x80


def _text_of(tokenizer: TextTokenizer, identifier: int) -> bytes | None:
    """A token's text, or None if it is special or part of a character."""
    if identifier in tokenizer.special_ids or identifier >= len(tokenizer.surfaces):
        return None
    surface = tokenizer.surfaces[identifier]
    try:
        surface.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return surface or None
