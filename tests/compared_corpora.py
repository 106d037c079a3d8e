"""Corpora with planted differences, for the tests of ``synth compare``."""

import numpy as np

QUICK = {"sample": 60, "max_tokens": 32}
TOPICS = {
    "plain": [f"w{n}" for n in range(400)],
    "beer": [
        "hops",
        "malt",
        "yeast",
        "barrel",
        "brewing",
        "lager",
        "stout",
        "foam",
        "bitter",
        "keg",
    ],
}


def document(draw, topic, sentence):
    """Sentences of words by Zipf's law, a third of them of the topic."""
    count = int(draw.integers(40, 80))
    plain = [TOPICS["plain"][n] for n in np.minimum(draw.zipf(1.4, count), 399)]
    special = draw.choice(TOPICS[topic], count)
    mixed = np.where(draw.random(count) < 0.35, special, plain)
    parts = [mixed[at : at + sentence] for at in range(0, count, sentence)]
    return " ".join(f"{' '.join(part).capitalize()}." for part in parts)


def differing():
    """A corpus, and one with a phrase in 2 % of the documents, 5 % near-duplicates of the first, without a
    topic, its sentences half as long."""
    draw = np.random.default_rng(5)
    human = [document(draw, ("plain", "beer")[i % 5 == 0], 14) for i in range(1500)]
    other = [document(draw, "plain", 7) for i in range(1500)]
    for i in range(0, 1500, 50):
        other[i] = f"As a language model I cannot say. {other[i]}"
    for i in range(1, 1500, 20):
        other[i] = human[i] + " And so on."
    return [{"text": text} for text in human], [{"text": text} for text in other]


def answer(report, question):
    return next(one for one in report["pairs"][0]["answers"] if one["question"] == question)
