"""Which samples of two models are about the same item."""

import numpy as np
import pytest

from synthtools.errors import SynthError
from synthtools.evaluate import paired_comparison


def sample(number, right, **more):
    return {"suite": "s", "id": number, "correct": right, **more}


def paired(one, other):
    fields = {"s": {"accuracy": "correct"}}
    return paired_comparison.compared(
        paired_comparison.by_suite(one), paired_comparison.by_suite(other), fields, 0, 0
    )


def test_items_are_paired_by_subject_and_id():
    """Six items of three subjects whose ids are 0 and 1 in each: of the first 2 are right, then 5."""
    apart = [(subject, number) for subject in "abc" for number in (0, 1)]
    one = [sample(n, r, subject=s) for (s, n), r in zip(apart, (1, 0, 1, 0, 0, 0))]
    other = [sample(n, r, subject=s) for (s, n), r in zip(apart, (1, 1, 1, 1, 1, 0))]
    (row,) = paired(one, list(reversed(other)))
    assert (row["n"], row["only_first"], row["only_other"]) == (6, 0, 0)
    assert (row["first"], row["other"]) == (pytest.approx(2 / 6), pytest.approx(5 / 6))


def test_equal_ids_are_paired_by_occurrence_where_the_texts_agree():
    texts = [paired_comparison.doc_hash(text) for text in ("x", "y", "z")]
    one = [sample(7, r, doc_hash=t) for r, t in zip((1, 0, 0), texts)]
    (row,) = paired(one, [sample(7, r, doc_hash=t) for r, t in zip((1, 1, 0), texts)])
    assert (row["n"], row["difference"]) == (3, pytest.approx(1 / 3))
    (row,) = paired(one, [sample(7, 1, doc_hash=t) for t in texts[:2]])
    assert (row["n"], row["only_first"]) == (2, 1)
    with pytest.raises(SynthError, match="s: .*id 7 comes 3 and 3 times, with other texts or in"):
        paired(one, [sample(7, 1, doc_hash=t) for t in reversed(texts)])
    with pytest.raises(SynthError, match="id 7 comes 2 and 2 times, and the samples have no doc_"):
        paired([sample(7, 1)] * 2, [sample(7, 1)] * 2)


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_those_of_a_merge_by_subject_id_and_occurrence(seed):
    """Ids repeat within subjects and across them, and each side lacks some items: pandas counts
    occurrences and joins."""
    pd = pytest.importorskip("pandas")
    draw = np.random.default_rng(seed)
    items = [(s, n, k) for s in "abcd" for n in range(6) for k in range(draw.integers(1, 4))]
    sides = []
    for _ in range(2):
        cut = {(s, n): draw.integers(0, 4) for s, n, _ in items}  # so many occurrences at most
        held = [item for item in items if item[2] < cut[item[:2]]]
        held.sort(key=lambda item: (item[2], draw.random()))  # repeated ids stay in their order
        rows = [
            sample(
                n, int(draw.integers(2)), subject=s, doc_hash=paired_comparison.doc_hash(s, str(k))
            )
            for s, n, k in held
        ]
        sides.append(rows)
    (row,) = paired(*sides)
    key = ["suite", "subject", "id"]
    left, right = (
        table.assign(occurrence=table.groupby(key).cumcount()) for table in map(pd.DataFrame, sides)
    )
    both = left.merge(right, on=[*key, "occurrence"])
    assert (both.doc_hash_x == both.doc_hash_y).all() and len(both) > 10
    assert row["n"] == len(both)
    assert row["only_first"] == len(left) - len(both)
    assert row["only_other"] == len(right) - len(both)
    assert row["first"] == pytest.approx(both.correct_x.mean())
    assert row["difference"] == pytest.approx((both.correct_y - both.correct_x).mean())


def test_no_item_in_common_is_said():
    with pytest.raises(
        SynthError, match=r"s: .*they have no item in common \(ids: 1, … and 2, …\)"
    ):
        paired([sample(1, 1)], [sample(2, 1)])


def test_answers_of_several_models_are_paired_by_model():
    one = [sample(i, 1, model=m) for m in ("p", "q") for i in range(3)]
    other = [sample(i, int(m == "p"), model=m) for m in ("q", "p") for i in range(3)]
    (row,) = paired(one, other)
    assert (row["n"], row["other"]) == (6, 0.5)
    (row,) = paired(one[:3], [sample(i, 0, model="tuned") for i in range(3)])
    assert row["n"] == 3
