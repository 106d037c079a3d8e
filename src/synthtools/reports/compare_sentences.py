"""The answers of ``synth compare`` in plain sentences, and how each is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthtools.reports import keyword_lists
from synthtools.reports.document import number, percent

TITLES = {
    "perplexity": "Is it easier to predict?",
    "diversity": "Is it less diverse?",
    "keywords": "Which words and phrases are characteristic of it?",
    "duplicates": "Does it repeat itself, or the reference?",
    "coverage": "Does it cover the same topics?",
    "form": "Is its form the same?",
    "classifier": "Can a simple classifier tell them apart?",
}
HOW = {
    "perplexity": "The language model scores the beginning of each sampled document. Medians are of the "
    "perplexity over the same number of tokens of each document; shorter documents are left out. "
    "The interval of each median is from the sign test, which is valid for any distribution. The spread is the "
    "mean distance of ln perplexity from its median.",
    "diversity": "Sampled documents are cut to the same number of words; shorter ones are left out. Each "
    "corpus is split into parts of equally many documents, whose means are compared "
    "(Welch's t on logarithms). Distinct sentences are 100 − self-BLEU of the sentences of a part.",
    "keywords": "Weighted log-odds with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008) on "
    "tokens and on documents. Differences are based on an exact test of the numbers of documents, "
    "corrected for all words and phrases.",
    "duplicates": "Exact: equal texts. Near: MinHash signatures of shingles of five words that agree in 80 % "
    "or more, as in dedup, over all documents. The share of copies within a corpus is tested; "
    "the share of copies of the reference is only reported.",
    "coverage": "Vectors of the sampled documents are clustered by k-means, ignoring corpora. For each "
    "cluster the shares of documents are compared; a cluster is hardly entered if its share is "
    "less than a fifth of the reference's. MAUVE (Pillutla et al. 2021) is given with its value for two "
    "random halves.",
    "form": "Means over all documents, as differences in units of the pooled standard deviation (Cohen's d): "
    "0.2 is small, 0.5 medium, 0.8 large. Intervals by Welch's t.",
    "classifier": "Logistic regression on words and pairs of words, 5 folds, on equally many documents cut to "
    "the same number of words. Near-duplicates, equal ids and equal prompts are never split between "
    "training and test. The variance of folds is corrected for their overlap (Nadeau and Bengio 2003). 0.5 is chance, 1 separates all documents.",
}  # fmt: skip
KINDS = {**keyword_lists.KINDS, "opening": "opening"}
_NAMES = {
    "perplexity.ratio": "median perplexity, ratio",
    "perplexity.spread_ratio": "spread of perplexities, ratio",
    "diversity.distinct_words": "distinct words, ratio",
    "diversity.mtld": "MTLD, ratio",
    "diversity.distinct_bigrams": "distinct pairs of words, ratio",
    "diversity.distinct_sentences": "distinct sentences, ratio",
    "near_duplicates.within": "near duplicates within, difference of shares",
    "exact_duplicates.within": "exact copies within, difference of shares",
    "keywords.documents": "share of documents with",
    "coverage.clusters": "share in the cluster",
    "classifier.auc": "AUC",
}


def effect_name(effect: Mapping[str, Any]) -> str:
    name = _NAMES.get(effect["name"])
    if name is None:
        return str(effect["name"]).partition(".")[2].replace("_", " ")
    label = effect.get("label")
    return f"{name} “{label}”" if label else name


def shortened(text: str, most: int = 60) -> str:
    """The beginning of a text from a corpus, where words may be of any length."""
    return text if len(text) <= most else f"{text[:most]}…"


def _value(effect: Mapping[str, Any]) -> str:
    low, high = effect["interval"]
    return f"{number(effect['value'], 3)} ({number(low, 3)} to {number(high, 3)})"


def _joined(parts: Sequence[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def sentence(answer: Mapping[str, Any], pair: Mapping[str, Any], matched: Mapping[str, int]) -> str:
    """One sentence: what differs and by how much, or that no difference was found."""
    question = answer["question"]
    if all(e["value"] is None for e in answer["effects"]) and question != "keywords":
        return f"{TITLES[question]} Undecided: too few documents of sufficient length."
    text = _SENTENCES[question](answer, pair, matched)
    named = text.startswith((pair["other"], pair["reference"]))
    return text if named else text[0].upper() + text[1:]


def _perplexity(answer: Any, pair: Any, matched: Any) -> str:
    one, other, numbers = pair["reference"], pair["other"], pair["numbers"]["perplexity"]
    ratio, spread = answer["effects"]
    medians = (
        f"median perplexity {number(numbers['median_other'], 3)} against "
        f"{number(numbers['median_reference'], 3)} of {one} over the first {matched['tokens']} tokens"
    )
    tails = (
        f"{percent(numbers['below_p1'], '.3g')} of {one} are easier than 99 % of {other}, "
        f"{percent(numbers['above_p99'], '.3g')} are harder than 99 % of it"
    )
    if ratio["differs"]:
        word = "easier" if ratio["value"] < 1 else "harder"
        return f"{other} is {word} to predict: {medians}, ratio {_value(ratio)}; {tails}."
    if spread["differs"]:
        word = "less" if spread["value"] < 1 else "more"
        return (
            f"{other} is as easy to predict, but its perplexities vary {word} (spread "
            f"{_value(spread)} times that of {one}); {tails}."
        )
    return f"no difference in predictability was found: {medians}, ratio {_value(ratio)}."


_SHORT = {
    "distinct_words": "distinct words",
    "mtld": "lexical diversity (MTLD)",
    "distinct_bigrams": "distinct word pairs",
    "distinct_sentences": "distance between sentences (100 − self-BLEU)",
}


def _diversity(answer: Any, pair: Any, matched: Any) -> str:
    known = [e for e in answer["effects"] if e["value"] is not None]
    other = pair["other"]
    differing = [e for e in known if e["differs"]]
    if not differing:
        times = f"{_value(known[0])} times as many distinct words in equally much text"
        return f"no difference in diversity was found: {times}."
    values = [e["value"] for e in differing]
    word = "less diverse" if max(values) < 1 else "diverse in other ways"
    if min(values) > 1:
        word = "more diverse"
    parts = [f"{_value(e)} times the {_SHORT[e['name'].partition('.')[2]]}" for e in differing]
    return (
        f"{other} is {word}: it has {_joined(parts)} of {pair['reference']}, in equally many documents "
        f"of {matched['words']} words."
    )


def _keywords(answer: Any, pair: Any, matched: Any) -> str:
    rows = answer["further"]["keywords"]
    sides = []
    for side, name in ((1, pair["other"]), (0, pair["reference"])):
        typical = [r for r in rows if r["differs"] and (r["z"] > 0) == bool(side)]
        if typical:
            shown = [f"“{shortened(text)}”" for text in _phrases(typical, side)[:5]]
            sides.append(f"{name} says more often {', '.join(shown)}")
    if not sides:
        return "no word or phrase was found that is characteristic of a corpus."
    numbers = pair["numbers"]["keywords"]
    total = numbers["more"] + numbers["less"]
    return f"{'; '.join(sides)} ({number(total)} listed words and phrases differ beyond chance)."


def _phrases(rows: Sequence[Any], side: int) -> list[str]:
    """Words and phrases, the strongest first: three-word phrases that overlap and are in about as many documents are
    joined, and parts of a phrase are left out."""
    rows = sorted(rows, key=lambda r: -min(abs(r["z"]), abs(r["z_documents"])))
    threes = {r["text"]: r["documents"][side] for r in rows if r["kind"] == "three_words"}
    phrases: list[str] = []
    counts: dict[str, int] = {}
    for row in rows:
        text, documents = row["text"], row["documents"][side]
        if any(f" {text} " in f" {longer} " for longer in phrases):
            continue
        within = [p for p in phrases if f" {p} " in f" {text} "]
        if any(documents < 0.8 * counts[p] for p in within):
            continue  # an earlier keyword covers it, and occurs without it too
        grown = row["kind"] == "three_words"
        while grown:
            grown = False
            for other, count in threes.items():
                if f" {other} " in f" {text} " or not 0.8 * documents <= count <= 1.25 * documents:
                    continue
                words = text.split()
                if other.startswith(f"{words[-2]} {words[-1]} "):
                    text, grown = f"{text} {other.split()[-1]}", True
                elif other.endswith(f" {words[0]} {words[1]}"):
                    text, grown = f"{other.split()[0]} {text}", True
        counts[text] = documents
        within = [p for p in phrases if f" {p} " in f" {text} "]
        place = min((phrases.index(p) for p in within), default=len(phrases))
        phrases = [p for p in phrases if p not in within]
        phrases.insert(place, text)
    return phrases


def _duplicates(answer: Any, pair: Any, matched: Any) -> str:
    one, other = pair["reference"], pair["other"]
    near, exact = pair["numbers"]["near_duplicates"], pair["numbers"]["exact_duplicates"]
    shares = (
        f"{percent(near['within_other'], '.3g')} of {other} and {percent(near['within_reference'], '.3g')} "
        f"of {one} are near copies of an earlier document of the same corpus"
    )
    differing = [e for e in answer["effects"] if e["differs"]]
    if differing:
        word = "more" if differing[0]["value"] > 0 else "less"
        text = f"{other} repeats itself {word}: {shares}"
    else:
        text = f"no difference in repetition was found: {shares}"
    between = f"{percent(near['between'], '.3g')} of {other} are near copies of documents of {one}"
    if exact["between"]:
        between += f" ({percent(exact['between'], '.3g')} exactly equal)"
    return f"{text}; {between}."


def _coverage(answer: Any, pair: Any, matched: Any) -> str:
    one, other, numbers = pair["reference"], pair["other"], pair["numbers"]["coverage"]
    clusters = answer["further"]["clusters"]
    rare = [c for c in clusters if c["hardly_entered"]]
    mauve = ""
    if numbers.get("mauve") is not None:
        mauve = (
            f" (MAUVE {number(numbers['mauve'], 3)}; two random halves of one corpus would have "
            f"{number(numbers['mauve_expected'], 3)})"
        )
    if answer["differs"] and answer["further"]["same_prompts"] >= 0.5:
        mauve += (
            "; most of its documents answer prompts of the reference, so topics are the same by "
            "construction, and the difference is in style"
        )
    if rare:
        rare.sort(key=lambda c: -c["reference"])
        named = "; ".join(
            f"“{', '.join(map(shortened, c['words'][:4])) or shortened(c['examples'][0])}”"
            for c in rare[:3]
        )
        return (
            f"{other} hardly enters {len(rare)} of {numbers['clusters']} clusters of documents, which have "
            f"{percent(numbers['hardly_entered'], '.3g')} of {one}: {named}{mauve}."
        )
    if answer["differs"]:
        return (
            f"{other} enters every cluster of {one}, but {numbers['clusters_that_differ']} of "
            f"{numbers['clusters']} in other proportions{mauve}."
        )
    return (
        f"no difference in coverage was found: none of {numbers['clusters']} clusters is entered "
        f"in other proportions{mauve}."
    )


def _form(answer: Any, pair: Any, matched: Any) -> str:
    differing = [e for e in answer["effects"] if e["differs"]]
    if not differing:
        measured = "length, paragraphs, lists, sentences, punctuation"
        return f"no difference in form was found ({measured})."
    differing.sort(key=lambda e: -abs(e["value"]))
    parts = [f"{_amount(e)} {effect_name(e)} ({e['value']:+.2f} SD)" for e in differing[:4]]
    size = max(abs(e["value"]) for e in differing)
    sizes = {"hardly": 0.2, "slightly": 0.5, "clearly": 0.8}
    how = next((word for word, most in sizes.items() if size < most), "very")
    return f"{pair['other']} differs {how} in form: {_joined(parts)}."


def _amount(effect: Any) -> str:
    if effect["value"] > 0:
        return "more"
    uncounted = effect["name"] in ("form.first_person", "form.bold", "form.code")
    return "less" if uncounted else "fewer"


def _classifier(answer: Any, pair: Any, matched: Any) -> str:
    effect = answer["effects"][0]
    if not answer["differs"]:
        return f"a simple classifier cannot tell them apart: AUC {_value(effect)}, where 0.5 is chance."
    return (
        f"a simple classifier tells them apart: given a document of each corpus, it is right in "
        f"{percent(effect['value'], '.3g')} of the cases (AUC {_value(effect)}, chance 0.5), from the "
        f"first {matched['words']} words."
    )


_SENTENCES = {
    "perplexity": _perplexity,
    "diversity": _diversity,
    "keywords": _keywords,
    "duplicates": _duplicates,
    "coverage": _coverage,
    "form": _form,
    "classifier": _classifier,
}


def first(pairs: Sequence[Any]) -> str:
    """The first answer with a difference, else the first of all."""
    answers = [answer for pair in pairs for answer in pair["answers"]]
    leading = next((one for one in answers if one["differs"]), answers[0])
    return str(leading["sentence"]).rstrip(".")
