"""ToEdit: which tokens are flagged, what is drawn, and which bytes change."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from pydoc_data.topics import topics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from synthtools.curate.token_edit import Rules, conditions, draw, edit
from synthtools.lm.pretrained import load_tokenizer
from synthtools.lm.scores import Candidates, Scores
from synthtools.lm.text_tokenizer import TextTokenizer

DRAWS = 20_000


@cache
def builtin() -> TextTokenizer:
    return TextTokenizer(load_tokenizer("builtin"))


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return builtin()


def drawn(logprobs: list[float], rules: Rules, observed: int = 100) -> Counter[int]:
    """How often each of the candidates 100, 101, … is drawn at as many positions."""
    ids = np.tile(np.arange(100, 100 + len(logprobs), dtype=np.int32), (DRAWS, 1))
    rows = np.tile(np.array(logprobs, np.float32), (DRAWS, 1))
    seen = np.full(DRAWS, observed, np.int32)
    return Counter(draw((ids, rows), seen, rules, 1, 2, 0, np.arange(DRAWS)).tolist())


def fits(found: Counter[int], expected: np.ndarray) -> None:
    counts = np.array([found[100 + i] for i in range(len(expected))])
    assert counts.sum() == DRAWS and not counts[expected == 0].any()
    kept = expected > 0
    assert chisquare(counts[kept], DRAWS * expected[kept] / expected.sum()).pvalue > 1e-4


P = np.array([0.5, 0.2, 0.1, 0.08, 0.05, 0.03, 0.02, 0.01, 0.005, 0.003])


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5, 4.0])
@pytest.mark.parametrize("top_k", [2, 8])
def test_draws_follow_the_tempered_top_k(temperature, top_k):
    found = drawn(np.log(P).tolist(), Rules(top_k=top_k, temperature=temperature))
    expected = P ** (1 / temperature)
    expected[top_k:] = 0
    fits(found, expected)


def test_top_p_takes_the_smallest_set_of_that_mass():
    rules = Rules(top_k=10, top_p=0.79, temperature=1.0)
    fits(drawn(np.log(P).tolist(), rules), np.where(np.arange(10) < 3, P, 0))  # .5 + .2 + .1
    assert set(drawn(np.log(P).tolist(), Rules(top_k=10, top_p=0.499, temperature=1.0))) == {100}


def test_the_authors_rejection_is_that_of_their_rounds():
    rules = Rules(top_k=8, rejection="authors", temperature=0.5)
    found = drawn(np.log(P).tolist(), rules)
    random = np.random.default_rng(0)
    chances = np.exp(P[:8] / 0.5) / np.exp(P[:8] / 0.5).sum()
    rounds = np.zeros(8)
    for _ in range(DRAWS):
        accepted = np.zeros(0, int)
        while not len(accepted):
            accepted = np.flatnonzero(random.random(8) < chances)
        rounds[accepted[0]] += 1
    ours = np.array([found[100 + i] for i in range(8)])
    assert chi2_contingency([ours, rounds]).pvalue > 1e-4
    # In closed form: accepted, and none before it; the rounds begin anew.
    passed = np.concatenate([[1.0], np.cumprod(1 - chances)[:-1]])
    fits(found, np.concatenate([chances * passed, np.zeros(2)]))


@pytest.mark.parametrize("temperature", [0.5, 1.5])
def test_the_exact_rejection_draws_from_its_target(temperature):
    found = drawn(np.log(P).tolist(), Rules(top_k=8, rejection="exact", temperature=temperature))
    target = np.where(np.arange(10) < 8, P ** (1 + 1 / temperature), 0)
    fits(found, target)
    # As proposals of P, accepted with exp((r - r_max)/β), r = ln P, are.
    random = np.random.default_rng(1)
    proposed = random.choice(8, 20 * DRAWS, p=P[:8] / P[:8].sum())
    kept = proposed[random.random(len(proposed)) < (P[proposed] / P[0]) ** (1 / temperature)]
    fits(Counter((100 + kept[:DRAWS]).tolist()), target)


@pytest.mark.parametrize(
    "rejection, temperature, share", [("authors", 0.5, 0.278), ("exact", 1.5, 1.3e-4)]
)
def test_how_many_flagged_tokens_a_rejection_changes_at_most(rejection, temperature, share):
    logprobs = np.log([0.99] + [0.01 / 7] * 7).tolist()
    found = drawn(logprobs, Rules(rejection=rejection, temperature=temperature))
    sigma = math.sqrt(DRAWS * share)
    assert abs(DRAWS - found[100] - DRAWS * share) < 5 * sigma


def test_the_observed_token_can_be_left_out():
    rules = Rules(top_k=4, temperature=1.0, exclude_observed=True)
    expected = np.array([0, 0.2, 0.1, 0.08, 0.05, 0, 0, 0, 0, 0])
    fits(drawn(np.log(P).tolist(), rules, observed=100), expected)
    # Where it is the only candidate, it stays.
    alone = Rules(top_k=1, exclude_observed=True)
    ids, rows = np.array([[7]], np.int32), np.zeros((1, 1), np.float32)
    assert draw((ids, rows), np.array([7], np.int32), alone, 0, 0, 0, np.arange(1)) == [7]


@pytest.mark.parametrize("temperature, bound", [(1.0, 0.010), (1.5, 0.082)])
def test_at_most_so_many_flagged_tokens_change(temperature, bound):
    # The worst case of P = 0.99: the other seven candidates share the rest evenly.
    found = drawn(np.log([0.99] + [0.01 / 7] * 7).tolist(), Rules(temperature=temperature))
    share = 1 - found[100] / DRAWS
    assert bound * 0.85 < share < bound * 1.15


def test_conditions_are_the_rule_of_the_authors():
    probabilities = np.array([0.999, 0.999, 0.9901, 0.98, 0.5, 0.1, 0.0005, 1.0])
    logprobs = np.log(probabilities).astype(np.float32)
    flagged, dropped = conditions(logprobs, Rules())
    assert flagged.tolist() == [i > 0 and bool(p > 0.99) for i, p in enumerate(probabilities)]
    assert not dropped.any()
    below, _ = conditions(logprobs, Rules(threshold=None, below=0.11))
    assert np.flatnonzero(below).tolist() == [5, 6]
    both, dropped = conditions(logprobs, Rules(threshold=0.995, drop_below=0.001))
    assert np.flatnonzero(both).tolist() == [1, 7] and np.flatnonzero(dropped).tolist() == [6]
    nothing, _ = conditions(np.full(3, np.nan, np.float32), Rules())
    assert not nothing.any()


def scores_of(tokenizer: TextTokenizer, text: str, random: np.random.Generator) -> Scores:
    """Invented scores: every token certain, candidates anything at all in the vocabulary."""
    ids = tokenizer.encode([text])[0]
    n = len(ids)
    candidates = random.integers(0, tokenizer.size, (n, 8)).astype(np.int32)
    logprobs = -np.sort(random.random((n, 8)).astype(np.float32), axis=1)
    return Scores(ids, np.zeros(n, np.float32), Candidates(np.ones(n, bool), candidates, logprobs))


@settings(max_examples=150)
@given(
    st.text(max_size=60) | st.sampled_from(sorted(topics.values())).map(lambda t: t[:300]),
    st.integers(0, 9),
)
def test_only_the_bytes_of_changed_tokens_change(text, seed):
    tokenizer = builtin()
    random = np.random.default_rng(seed)
    scores = scores_of(tokenizer, text, random)
    result = edit(text, scores, Rules(temperature=3.0), tokenizer, seed=seed, record=5)
    result.text.encode("utf-8")  # valid, or this raises
    again = edit(text, scores, Rules(temperature=3.0), tokenizer, seed=seed, record=5)
    assert again == result
    # Walk both texts token by token: each is either the old bytes or one of its candidates.
    old, new = text.encode(), result.text.encode()
    ways = {(0, 0)}  # (bytes of the new text used, tokens changed)
    for place, identifier in enumerate(scores.ids):
        surface = tokenizer.surfaces[identifier]
        choices = {(surface, 0)} | {
            (tokenizer.surfaces[c], 1)
            for c in scores.candidates.ids[place]
            if place and tokenizer.surfaces[c] != surface
        }
        ways = {
            (at + len(bytes_), changed + one)
            for at, changed in ways
            for bytes_, one in choices
            if new.startswith(bytes_, at)
        }
    assert (len(new), result.changed) in ways
    assert sum(len(tokenizer.surfaces[i]) for i in scores.ids) == len(old)
    assert result.flagged == max(0, len(scores.ids) - 1)


def test_special_tokens_and_pieces_of_characters_are_held(tokenizer):
    text = "plain words"
    ids = tokenizer.encode([text])[0]
    piece = next(i for i, s in enumerate(tokenizer.surfaces) if s == b"\xc3")
    for candidate in (tokenizer.bos_id, piece):
        found = Candidates(
            np.ones(len(ids), bool),
            np.full((len(ids), 1), candidate, np.int32),
            np.zeros((len(ids), 1), np.float32),
        )
        scores = Scores(ids, np.zeros(len(ids), np.float32), found)
        result = edit(text, scores, Rules(top_k=1), tokenizer, seed=0, record=0)
        assert (result.text, result.changed) == (text, 0)
        assert result.held == result.flagged == len(ids) - 1


def test_dropped_tokens_are_gone(tokenizer):
    text = "one two three"
    ids = tokenizer.encode([text])[0]
    logprobs = np.zeros(len(ids), np.float32)
    logprobs[-1] = math.log(1e-4)
    result = edit(
        text,
        Scores(ids, logprobs, None),
        Rules(threshold=None, drop_below=0.001),
        tokenizer,
        seed=0,
        record=0,
    )
    end = len(text) - len(tokenizer.surfaces[ids[-1]])
    assert (result.text, result.dropped, result.flagged) == (text[:end], 1, 0)
