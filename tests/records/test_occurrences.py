"""How often a value has come before: the same as counting one by one."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from synthtools.records.batch import MISSING
from synthtools.records.record_keys import Occurrences, RecordKeys

few = st.integers(0, 8) | st.sampled_from([2**64 - 1, 2**63, 0])


@given(st.lists(st.lists(few, max_size=12), max_size=12))
def test_equal_to_counting_one_by_one(batches):
    seen, counts = Occurrences(), Counter()
    for batch in batches:
        expected = []
        for value in batch:
            expected.append(counts[value])
            counts[value] += 1
        assert seen.of(np.array(batch, np.uint64)).tolist() == expected


def test_many_values_in_few_arrays():
    values = np.random.default_rng(1).integers(0, 2**64, 60_000, np.uint64)
    seen = Occurrences()
    for start in range(0, len(values), 100):
        assert not seen.of(values[start : start + 100]).any()
    assert sum(map(len, seen._runs)) == len(values) and len(seen._runs) < 12
    assert (seen.of(values[::-1]) == 1).all() and (seen.of(values) == 2).all()


def test_equal_ids_are_told_apart_on_request():
    ids, texts = [7, 7, MISSING, MISSING, "7", 8], ["a", "b", "c", "c", "d", "e"]
    plain, apart = RecordKeys().of(ids, texts), RecordKeys(apart=True).of(ids, texts)
    assert plain[0] == plain[1] == plain[4] and len(set(plain.tolist())) == 4
    assert len(set(apart.tolist())) == 6
    # The first of equals keeps the key that it has alone, and so does a text.
    assert apart[[0, 2, 3, 5]].tolist() == plain[[0, 2, 3, 5]].tolist()
