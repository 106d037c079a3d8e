"""The edit of one text against its definition, one token at a time."""

from __future__ import annotations

import math
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from synthtools.curate.token_edit import TOP_P_POOL, Edited, Rules, conditions, draw, edit
from synthtools.draws import uniforms
from synthtools.lm.scores import Candidates, ScoreRequest, Scores
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.training.tokenizer import train_tokenizer


@cache
def english() -> list[str]:
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)][:20]


@cache
def byte_level() -> TextTokenizer:
    return TextTokenizer(train_tokenizer(english(), 500))


@cache
def normalising() -> TextTokenizer:
    """Its tokens' texts are not the text: NFKC and lower case."""
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        english(),
        trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False),
    )
    return TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend))


# ---------------------------------------------------------------- which tokens


@pytest.mark.parametrize("threshold", [0.99, 0.999, 0.5, 1.0, 0.0])
def test_flagged_as_the_authors_flag(threshold: float) -> None:
    # Their code: probability >= p, the first token left alone. float32, as models give it.
    random = np.random.default_rng(0)
    logprobs = np.log(random.random(5000)).astype(np.float32) * 0.02
    logprobs[:50] = 0
    logprobs[50] = np.float32(math.log(threshold)) if threshold else -100
    flagged, dropped = conditions(logprobs, Rules(threshold))
    for place, logprob in enumerate(logprobs.tolist()):
        bound = math.log(threshold) if threshold else -math.inf
        assert flagged[place] == (place > 0 and logprob >= bound)
    assert not dropped.any()


@given(
    st.lists(st.one_of(st.none(), st.floats(1e-8, 1.0)), max_size=20),
    *(st.one_of(st.none(), st.sampled_from([0.0, 0.001, 0.1, 0.5, 0.99, 1.0])) for _ in range(3)),
)
def test_conditions(
    probabilities: list[float | None],
    threshold: float | None,
    below: float | None,
    drop_below: float | None,
) -> None:
    logprobs = np.array(
        [np.nan if p is None else math.log(p) for p in probabilities], np.float64
    ).astype(np.float32)
    rules = Rules(threshold, below, drop_below)
    flagged, dropped = conditions(logprobs, rules)
    low, high = rules.request().log_bounds()
    for place, logprob in enumerate(logprobs.tolist()):
        known = place > 0 and not math.isnan(logprob)
        falls = drop_below is not None and drop_below > 0 and logprob < math.log(drop_below)
        rare = below is not None and below > 0 and logprob <= math.log(below)
        sure = threshold is not None and (threshold == 0 or logprob >= math.log(threshold))
        assert dropped[place] == (known and falls)
        assert flagged[place] == (known and not falls and (rare or sure))
        # The model has been asked for candidates wherever one will be drawn.
        assert not flagged[place] or logprob >= low or logprob <= high


def test_what_the_model_is_asked_for() -> None:
    assert Rules().request() == ScoreRequest(8, 0.99, None)
    assert Rules(None, below=0.1, top_k=5).request() == ScoreRequest(5, None, 0.1)
    assert Rules(exclude_observed=True).request() == ScoreRequest(9, 0.99, None)
    # Deleting needs no candidates.
    assert Rules(None, drop_below=0.001).request() == ScoreRequest()


def options(**more: Any) -> Rules:
    given = {
        "threshold": None,
        "below": None,
        "drop_below": None,
        "top_k": None,
        "top_p": None,
        "rejection": None,
        "temperature": None,
        "exclude_observed": False,
    }
    return Rules.of(SimpleNamespace(**given | more))


def test_defaults_that_depend_on_each_other() -> None:
    assert options() == Rules(0.99, top_k=8, temperature=1.5)
    assert options(below=0.1) == Rules(None, 0.1)
    assert options(drop_below=0.001) == Rules(None, None, 0.001)
    assert options(threshold=0.9, below=0.1) == Rules(0.9, 0.1)
    assert options(top_p=0.99) == Rules(0.99, top_p=0.99, top_k=TOP_P_POOL, temperature=1.0)
    assert options(top_p=0.9, top_k=4, temperature=2.0) == Rules(
        0.99, top_p=0.9, top_k=4, temperature=2.0
    )
    assert options(threshold=0.0) == Rules(0.0)
    assert options(rejection="authors") == Rules(rejection="authors", temperature=0.5)
    assert options(rejection="exact") == Rules(rejection="exact", temperature=1.5)


# ---------------------------------------------------------------- the draw


def plain_draw(
    ids: list[int],
    logprobs: list[float],
    observed: int,
    rules: Rules,
    aim: float,
) -> int:
    """The rule of ``edit`` in so many words.

    Args:
        aim: the uniform number for the choice.
    """
    pool = [
        (identifier, logprob)
        for identifier, logprob in zip(ids, logprobs, strict=True)
        if logprob > -math.inf and not (rules.exclude_observed and identifier == observed)
    ][: rules.top_k]
    if rules.top_p is not None:
        mass, enough = 0.0, []
        for candidate in pool:
            if mass >= rules.top_p:
                break
            enough.append(candidate)
            mass += math.exp(candidate[1])
        pool = enough
    if not pool:
        return observed
    best = max(logprob for _, logprob in pool)
    weights = [math.exp((logprob - best) / rules.temperature) for _, logprob in pool]
    if rules.rejection == "exact":
        weights = [math.exp((p - best) / rules.temperature) * math.exp(p - best) for _, p in pool]
    if rules.rejection == "authors":
        rewards = [math.exp((math.exp(p) - math.exp(best)) / rules.temperature) for _, p in pool]
        weights, left = [], 1.0
        for reward in rewards:
            weights.append(left * reward / sum(rewards))
            left *= 1 - reward / sum(rewards)
    reached = 0.0
    for (identifier, _), weight in zip(pool, weights, strict=True):
        reached += weight
        if reached > aim * sum(weights):
            return identifier
    raise AssertionError


@st.composite
def draws(pick: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, Rules]:
    """Candidates of some positions, observed tokens, rules."""
    rules = Rules(
        top_k=pick(st.integers(1, 6)),
        top_p=pick(st.one_of(st.none(), st.floats(0.01, 1.0))),
        rejection=pick(st.sampled_from([None, "authors", "exact"])),
        temperature=pick(st.floats(0.1, 20)),
        exclude_observed=pick(st.booleans()),
    )
    columns = pick(st.integers(1, 8))
    rows = pick(st.integers(1, 5))
    random = np.random.default_rng(pick(st.integers(0, 1 << 32)))
    spread = pick(st.sampled_from([0.1, 1.0, 10.0]))
    weights = np.exp(random.normal(0, spread, (rows, columns)))
    logprobs = np.log(weights / weights.sum(1, keepdims=True) * random.random((rows, 1)))
    logprobs = -np.sort(-logprobs, 1).astype(np.float32)
    if pick(st.booleans()):
        logprobs[:, pick(st.integers(0, columns - 1)) :] = -np.inf  # the model rules them out
    ids = np.stack([random.permutation(columns + 3)[:columns] for _ in range(rows)])
    observed = random.integers(0, columns + 3, rows)
    return ids.astype(np.int32), logprobs, observed.astype(np.int32), rules


@given(draws(), st.integers(0, 1 << 62), st.integers(0, 1 << 62), st.integers(0, 3))
def test_draws_are_those_of_the_plain_rule(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray, Rules], seed: int, record: int, generation: int
) -> None:
    ids, logprobs, observed, rules = drawn
    positions = np.arange(len(ids)) * 7 + 3
    found = draw((ids, logprobs), observed, rules, seed, record, generation, positions)
    assert found.dtype == np.int32
    aims = uniforms(seed, record, generation, positions)
    for row in range(len(ids)):
        expected = plain_draw(
            ids[row].tolist(),
            logprobs[row].tolist(),
            int(observed[row]),
            rules,
            float(aims[row]),
        )
        assert found[row] == expected


def test_nothing_left_to_draw_leaves_the_observed_token() -> None:
    ids = np.array([[4]], np.int32)
    rules = Rules(top_k=1, exclude_observed=True)
    for logprobs in ([[0.0]], [[-np.inf]]):
        found = draw(
            (ids, np.array(logprobs, np.float32)),
            np.array([4], np.int32),
            rules,
            0,
            0,
            0,
            np.array([1]),
        )
        assert found.tolist() == [4]


# ---------------------------------------------------------------- the text


def spelled(
    tokenizer: TextTokenizer, text: str, logprobs: dict[int, float], drawn: dict[int, int]
) -> Scores:
    """Scores in which a flagged token is certain to become the one named.

    Args:
        logprobs: by place; all others are in the middle.
        drawn: by place, the only candidate.
    """
    (ids,) = tokenizer.encode([text])
    values = np.full(len(ids), math.log(0.5), np.float32)
    for place, logprob in logprobs.items():
        values[place] = logprob
    rows = np.array([drawn.get(place, ids[place]) for place in range(len(ids))], np.int32)
    everywhere = np.ones(len(ids), bool)
    return Scores(
        ids, values, Candidates(everywhere, rows[:, None], np.zeros((len(ids), 1), np.float32))
    )


def reconstructed(
    tokenizer: TextTokenizer, text: str, scores: Scores, rules: Rules, drawn: np.ndarray
) -> Edited:
    """The edit of a text, token by token.

    Args:
        drawn: int [n], what each flagged token is drawn as.
    """
    content = text.encode()
    spans = tokenizer.spans(text, scores.ids)
    flagged, dropped = conditions(scores.logprobs, rules)
    result, end, counts = b"", 0, {"changed": 0, "dropped": 0, "held": 0}

    def whole(part: bytes) -> bool:
        try:
            part.decode()
        except UnicodeDecodeError:
            return False
        return True

    for place, identifier in enumerate(scores.ids):
        a, b = int(spans.start[place]), int(spans.end[place])
        alone = a >= 0 and whole(content[:a]) and whole(content[:b])
        if dropped[place]:
            new: bytes | None = b"" if alone else None
        elif flagged[place] and drawn[place] != identifier:
            surface = tokenizer.surfaces[drawn[place]]
            fit = surface and whole(surface) and drawn[place] not in tokenizer.special_ids
            new = surface if alone and fit else None
        else:
            continue
        if new is None:
            counts["held"] += 1
            continue
        result += content[end:a] + new
        end = b
        if dropped[place]:
            counts["dropped"] += 1
        elif new != content[a:b]:
            counts["changed"] += 1
    result += content[end:]
    return Edited(result.decode(), len(scores.ids), int(flagged.sum()), **counts)


TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            ["the", " import", "Python", "\n", "  ", "é", "ﬁx", "Ⅷ", "日本", "👩‍👧", "e\u0301", "ŉ"]
        ),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=30,
).map("".join)


@pytest.mark.parametrize("kind", ["byte_level", "normalising"])
@given(text=TEXTS, seed=st.integers(0, 1 << 32), dropping=st.booleans())
def test_every_other_byte_stays(kind: str, text: str, seed: int, dropping: bool) -> None:
    tokenizer = byte_level() if kind == "byte_level" else normalising()
    random = np.random.default_rng(seed)
    (ids,) = tokenizer.encode([text])
    logprobs = np.log(random.random(len(ids))).astype(np.float32)
    candidates = np.stack(
        [random.permutation(tokenizer.size)[:4] for _ in ids] or [np.zeros(4, int)]
    )[: len(ids)]
    scores = Scores(
        ids,
        logprobs,
        Candidates(
            np.ones(len(ids), bool),
            candidates.astype(np.int32),
            -np.sort(random.random((len(ids), 4)), 1).astype(np.float32),
        ),
    )
    rules = Rules(0.4, top_k=4, drop_below=0.2 if dropping else None)
    found = edit(text, scores, rules, tokenizer, seed=seed, record=9)
    found.text.encode("utf-8")
    flagged, _ = conditions(logprobs, rules)
    places = np.flatnonzero(flagged)
    drawn = ids.copy()
    drawn[places] = draw(
        (scores.candidates.ids[places], scores.candidates.logprobs[places]),  # type: ignore[union-attr]
        ids[places],
        rules,
        seed,
        9,
        0,
        places,
    )
    assert found == reconstructed(tokenizer, text, scores, rules, drawn)


def token(tokenizer: TextTokenizer, surface: str) -> int:
    return tokenizer.surfaces.index(surface.encode())


def test_one_token_by_hand() -> None:
    tokenizer = byte_level()
    text = "the import of the day"
    (ids,) = tokenizer.encode([text])
    places = [i for i, t in enumerate(ids) if tokenizer.surfaces[t] == b" the"]
    assert len(places) == 1
    scores = spelled(tokenizer, text, {places[0]: 0.0}, {places[0]: token(tokenizer, " in")})
    found = edit(text, scores, Rules(top_k=1), tokenizer, seed=0, record=0)
    assert found == Edited("the import of in day", len(ids), 1, 1, 0, 0)


def test_the_first_token_stays_whatever_its_probability() -> None:
    tokenizer = byte_level()
    scores = spelled(tokenizer, "the end", {0: 0.0}, {0: token(tokenizer, "in")})
    for rules in (Rules(0.0, top_k=1), Rules(None, below=1.0, top_k=1)):
        found = edit("the end", scores, rules, tokenizer, seed=0, record=0)
        assert found.text.startswith("the")
    dropped = edit("the end", scores, Rules(None, None, 1.0), tokenizer, seed=0, record=0)
    assert dropped.text == "the"


def test_a_piece_of_a_character_is_held() -> None:
    tokenizer = byte_level()
    text = "x 語 y"
    (ids,) = tokenizer.encode([text])
    piece = next(i for i, t in enumerate(ids) if tokenizer.surfaces[t] == b"\xe8")
    # Neither is a piece replaced, nor does one come in …
    scores = spelled(tokenizer, text, {piece: 0.0}, {piece: token(tokenizer, "a")})
    found = edit(text, scores, Rules(top_k=1), tokenizer, seed=0, record=0)
    assert found == Edited(text, len(ids), 1, 0, 0, 1)
    last = len(ids) - 1
    scores = spelled(tokenizer, text, {last: 0.0}, {last: int(ids[piece])})
    assert edit(text, scores, Rules(top_k=1), tokenizer, seed=0, record=0).held == 1
    # … nor is one deleted.
    scores = spelled(tokenizer, text, {piece: -20.0}, {})
    found = edit(text, scores, Rules(None, None, 0.001), tokenizer, seed=0, record=0)
    assert found == Edited(text, len(ids), 0, 0, 0, 1)


def test_special_tokens_are_held() -> None:
    tokenizer = byte_level()
    scores = spelled(tokenizer, "the end", {1: 0.0}, {1: 0})
    found = edit("the end", scores, Rules(top_k=1), tokenizer, seed=0, record=0)
    assert found == Edited("the end", len(scores.ids), 1, 0, 0, 1)
    # Nor do those come in that the model has and the tokenizer lacks.
    scores = spelled(tokenizer, "the end", {1: 0.0}, {1: 501})
    assert edit("the end", scores, Rules(top_k=1), tokenizer, seed=0, record=0).held == 1


def test_another_token_of_the_same_text_is_no_change() -> None:
    tokenizer = normalising()
    text = "ZQ"
    (ids,) = tokenizer.encode([text])
    assert [tokenizer.surfaces[i] for i in ids] == [b"z", b"q"]
    scores = spelled(tokenizer, text, {1: 0.0}, {1: token(tokenizer, "Q")})
    found = edit(text, scores, Rules(top_k=1), tokenizer, seed=0, record=0)
    assert found == Edited(text, len(ids), 1, 0, 0, 0)


def test_filter_only() -> None:
    tokenizer = byte_level()
    text = "the import of the day"
    (ids,) = tokenizer.encode([text])
    logprobs = np.full(len(ids), math.log(0.01), np.float32)
    logprobs[[1, 3]] = math.log(0.0005)
    rules = Rules(None, drop_below=0.001)
    found = edit(text, Scores(ids, logprobs, None), rules, tokenizer, seed=0, record=0)
    kept = [tokenizer.surfaces[t] for i, t in enumerate(ids) if i not in (1, 3)]
    assert found == Edited(b"".join(kept).decode(), len(ids), 0, 0, 2, 0)


@pytest.mark.parametrize("text", ["", "a"])
def test_texts_without_a_second_token(text: str) -> None:
    tokenizer = byte_level()
    (ids,) = tokenizer.encode([text])
    empty = Candidates(
        np.zeros(len(ids), bool), np.zeros((0, 8), np.int32), np.zeros((0, 8), np.float32)
    )
    scores = Scores(ids, np.full(len(ids), np.nan, np.float32), empty)
    found = edit(text, scores, Rules(0.0), tokenizer, seed=0, record=0)
    assert found == Edited(text, len(ids), 0, 0, 0, 0)


@given(TEXTS, st.integers(0, 3))
def test_seed_record_and_generation_each_change_the_draws(text: str, seed: int) -> None:
    tokenizer = byte_level()
    (ids,) = tokenizer.encode([text])
    assume(len(ids) > 12)
    letters = [token(tokenizer, letter) for letter in "abcdefgh"]
    scores = Scores(
        ids,
        np.zeros(len(ids), np.float32),
        Candidates(
            np.ones(len(ids), bool),
            np.tile(np.array(letters, np.int32), (len(ids), 1)),
            np.zeros((len(ids), 8), np.float32),
        ),
    )

    def edited(seed: int, record: int, generation: int) -> str:
        return edit(
            text, scores, Rules(), tokenizer, seed=seed, record=record, generation=generation
        ).text

    found = edited(seed, 1, 0)
    assert found == edited(seed, 1, 0)
    others = [edited(seed + 1, 1, 0), edited(seed, 2, 0), edited(seed, 1, 1)]
    if any(tokenizer.spans(text, ids).start[1:] >= 0) and text.isascii():
        assert all(other != found for other in others)
