"""The questions of ``synth compare``: in which ways one corpus differs from another, in numbers.

Each function returns a question's numbers and effects (see ``effects``); ``alpha`` is the question's error rate,
shared by its effects.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from synthtools.measure import effects, mauve
from synthtools.measure.diversity import sequence_figures
from synthtools.measure.effects import Effect
from synthtools.measure.form import MEASURES
from synthtools.measure.keywords import add_examples, log_odds
from synthtools.measure.phrase_counts import KeywordCounts
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.lexical_richness import BREAK
from synthtools.text.self_bleu import self_bleu, token_hashes
from synthtools.text.sentences import sentence_bounds
from synthtools.text.words import word_hashes

# Parts into which a corpus is split to estimate the spread of figures over many documents.
_PARTS = 20
_FEWEST_PARTS = 5
_KEYWORDS = 15  # of a kind, on each side


class QuestionAnswer(NamedTuple):
    """The answer to a question: numbers by name, tested effects, and further data for the report's tables."""

    numbers: Mapping[str, float | int | None]
    effects: list[Effect]
    further: dict[str, Any]


def perplexity(
    plain: Sequence[np.ndarray], matched: Sequence[np.ndarray], alpha: float
) -> QuestionAnswer:
    """Is the other corpus easier to predict?

    Args:
        plain, matched: nats per token of the documents of the reference and of the other; over all
            scored tokens, and over equally many of each document.
    """
    whole = [side[np.isfinite(side)] for side in plain]
    one, other = (side[np.isfinite(side)] for side in matched)
    measured_effects = [
        effects.of_medians("perplexity.ratio", one, other, alpha / 2),
        effects.of_spreads("perplexity.spread_ratio", one, other, alpha / 2),
    ]
    medians = [math.exp(float(np.median(side))) if len(side) else None for side in (one, other)]
    numbers: dict[str, float | int | None] = {
        "ratio": measured_effects[0]["value"],
        "spread_ratio": measured_effects[1]["value"],
        "median_reference": medians[0],
        "median_other": medians[1],
        "plain_ratio": None,
        "below_p1": None,
        "above_p99": None,
    }
    if all(map(len, whole)):
        numbers["plain_ratio"] = math.exp(float(np.median(whole[1]) - np.median(whole[0])))
    if len(one) and len(other):
        low, high = np.percentile(other, [1, 99])
        numbers["below_p1"] = float((one < low).mean())
        numbers["above_p99"] = float((one > high).mean())
    return QuestionAnswer(numbers, measured_effects, {"documents": [len(one), len(other)]})


_DIVERSITY = ("distinct_words", "mtld", "distinct_bigrams", "distinct_sentences")


def diversity(sides: Sequence[Sequence[str]], alpha: float) -> QuestionAnswer:
    """Is it less diverse? Each corpus is split into parts of equally many documents of one length.

    Args:
        sides: texts of equally many words, in random order.
    """
    parts = min(_PARTS, min(map(len, sides)) // _FEWEST_PARTS)
    names = [f"diversity.{name}" for name in _DIVERSITY]
    if parts < _FEWEST_PARTS:
        unknown = [effects.unknown(name, 1.0) for name in names]
        reason = "fewer than 25 documents of the matched length on one side"
        return QuestionAnswer(dict.fromkeys(_DIVERSITY), unknown, {"reason": reason})
    size = min(map(len, sides)) // parts
    tables = [_of_parts(side[: parts * size], size) for side in sides]
    measured_effects = [
        effects.of_means(name, tables[0][:, i], tables[1][:, i], alpha / len(names), ratio=True)
        for i, name in enumerate(names)
    ]
    further = {
        "parts": parts,
        "documents_of_part": size,
        "means": [table.mean(axis=0).tolist() for table in tables],
    }
    numbers = {name: one["value"] for name, one in zip(_DIVERSITY, measured_effects, strict=True)}
    return QuestionAnswer(numbers, measured_effects, further)


def _of_parts(texts: Sequence[str], size: int) -> np.ndarray:
    """The figures of each part, float64 [parts, 4]."""
    buffer = TextBuffer.of(texts)
    hashes, starts = word_hashes(buffer)
    words = np.split(hashes, starts[1:-1])
    break_ = np.array([BREAK], np.uint64)
    rows = []
    sentences = sentence_bounds(buffer)
    parts = np.append(sentences.offsets[:-1:size], sentences.offsets[-1])
    bleu = self_bleu(*token_hashes(buffer, sentences), parts)
    for part, scores in enumerate(np.split(bleu, parts[1:-1])):
        documents = words[part * size : (part + 1) * size]
        figures = sequence_figures(np.concatenate([w for one in documents for w in (one, break_)]))
        grams = figures["ngrams"]
        rows.append(
            [
                grams["1"]["distinct"],
                figures["mtld"] or math.nan,
                grams["2"]["distinct"],
                100 - float(scores.mean()) if len(scores) > 1 else math.nan,
            ]
        )
    return np.array(rows, np.float64)


def duplicates(name: str, one: np.ndarray, other: np.ndarray, alpha: float) -> QuestionAnswer:
    """Does it repeat itself, or the reference?

    Args:
        name: of the kind of duplicates.
        one, other: keys of the documents of the reference and of the other, equal for duplicates.
    """
    n, m = len(one), len(other)
    copies = [np.unique(side, return_counts=True)[1] - 1 for side in (one, other)]
    numbers = {
        "within_reference": float(copies[0].sum()) / n,
        "within_other": float(copies[1].sum()) / m,
        "between": float(np.isin(other, one).mean()),
    }
    within = effects.surplus(f"{name}.within", copies[0], n, copies[1], m, alpha)
    return QuestionAnswer(numbers, [within], {})


def keywords(
    corpora: Sequence[KeywordCounts], texts: Sequence[Sequence[str]], alpha: float
) -> QuestionAnswer:
    """Which words and phrases are characteristic of it?

    Args:
        texts: samples of both corpora, for examples.
    """
    rows = log_odds(corpora[0], corpora[1], top=_KEYWORDS, level=alpha)
    for row in rows:
        row["differs"] = row["p"] <= alpha
    add_examples(rows, texts)
    sizes = [corpus.documents for corpus in corpora]
    differing = [row for row in rows if row["differs"]]
    measured_effects: list[Effect] = []
    for row in sorted(differing, key=lambda row: -abs(row["z_documents"]))[:_PARTS]:
        (k, l), (n, m) = row["documents"], sizes  # noqa: E741
        shares = effects.of_shares("keywords.documents", k, n, l, m, alpha)
        shares["label"] = row["text"]
        measured_effects.append(shares)
    numbers = {
        "more": sum(row["z"] > 0 for row in differing),
        "less": sum(row["z"] < 0 for row in differing),
    }
    return QuestionAnswer(numbers, measured_effects, {"keywords": rows})


def clustered(vectors: np.ndarray, seed: int) -> np.ndarray:
    """The cluster of each document, int64, ignoring corpora (see ``mauve.clusters``): one per forty documents,
    2 to 40 [ours].

    Args:
        vectors: float32 [documents, width], of all corpora together.
    """
    if not len(vectors):
        return np.zeros(0, np.int64)
    count = int(np.clip(len(vectors) // 40, 2, 40))
    return mauve.clusters(mauve.components(vectors), count, np.random.default_rng(seed))


# A cluster is hardly entered if the other's share there is less than this part of the reference's.
HARDLY = 0.2


def coverage(
    of: Sequence[np.ndarray], vectors: Sequence[np.ndarray], alpha: float, seed: int
) -> QuestionAnswer:
    """Does it cover the same ground?

    Args:
        of: the cluster of each document of the reference and of the other; vectors: of the same documents.
    """
    (n, m) = map(len, of)
    count = 1 + max((int(side.max()) for side in of if len(side)), default=0)
    sizes = [np.bincount(side, minlength=count) for side in of]
    used = np.flatnonzero(sizes[0] + sizes[1])
    measured_effects: list[Effect] = []
    missing, entered = 0.0, []
    for cluster in used.tolist():
        k, l = (int(side[cluster]) for side in sizes)  # noqa: E741
        one = effects.of_shares("coverage.clusters", k, n, l, m, alpha / len(used))
        one["label"] = f"cluster {cluster}"
        measured_effects.append(one)
        rare = one["differs"] and l / m < HARDLY * k / n
        missing += k / n if rare else 0.0
        entered.append({"cluster": cluster, "reference": k, "other": l, "hardly_entered": rare})
    size = min(n, m)  # equal weight for both sides
    near = mauve.mauve(*(side[:size] for side in vectors), seed=seed)
    numbers = {
        "clusters": len(used),
        "clusters_that_differ": sum(one["differs"] for one in measured_effects),
        "hardly_entered": missing,
        "mauve": near["value"],
        "mauve_expected": near["expected"],
    }
    return QuestionAnswer(numbers, measured_effects, {"clusters": entered})


def form(sides: Sequence[np.ndarray], alpha: float) -> QuestionAnswer:
    """Does its form differ?

    Args:
        sides: float [documents, MEASURES of ``form``] of the reference and of the other.
    """
    columns = zip(*(side.T.astype(np.float64) for side in sides), strict=True)
    measured_effects = {
        name: effects.standardized(f"form.{name}", one, other, alpha / len(MEASURES))
        for name, (one, other) in zip(MEASURES, columns, strict=True)
    }
    numbers = {name: effect["value"] for name, effect in measured_effects.items()}
    return QuestionAnswer(numbers, list(measured_effects.values()), {})


def classifier(folds: list[tuple[np.ndarray, np.ndarray]], alpha: float) -> QuestionAnswer:
    """Can a simple classifier tell them apart? ``folds``: see ``effects.of_auc``."""
    auc = effects.of_auc("classifier.auc", folds, alpha)
    sizes = [sum(map(len, sides)) for sides in zip(*folds, strict=True)]
    return QuestionAnswer({"auc": auc["value"]}, [auc], {"held_out": sizes})


def telling_words(documents: Sequence[set[str]], inside: np.ndarray, most: int = 8) -> list[str]:
    """Words that are more frequent in some documents than in the others, the most characteristic first.

    Args:
        documents: the words of each; inside: bool, the documents to characterise.
    """
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for words, own in zip(documents, inside.tolist(), strict=True):
        counts[not own].update(words)
    n = int(inside.sum())
    m = max(1, len(inside) - n)

    def score(word: str) -> float:
        k, l = counts[0][word], counts[1][word]  # noqa: E741
        return (k / n - l / m) * math.log((k + 0.5) / (n + 1) / ((l + 0.5) / (m + 1)))

    least = max(2, 0.1 * n)
    frequent = [w for w, k in counts[0].items() if k >= least and k / n > counts[1][w] / m]
    return sorted(frequent, key=lambda word: (-score(word), word))[:most]
