"""Keys: a record is known by its id, else by its text and how often that has come before."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from synthtools.records.batch import MISSING
from synthtools.records.record_keys import RecordKeys

ids = (
    st.just(MISSING)
    | st.none()
    | st.integers()
    | st.text(max_size=3)
    | st.sampled_from(["\ud800", 1.5])
)
records = st.lists(st.tuples(ids, st.text(st.sampled_from("ab"), max_size=2)), max_size=20)


def keys(pairs, cuts=()):
    known = RecordKeys()
    ends = [0, *sorted(cuts), len(pairs)]
    parts = [known.of(*zip(*pairs[a:b])) for a, b in zip(ends, ends[1:]) if a < b]
    return [key for part in parts for key in part.tolist()]


@given(records, st.lists(st.integers(0, 20), max_size=3))
def test_batches_do_not_matter(pairs, cuts):
    assert keys(pairs, [min(cut, len(pairs)) for cut in cuts]) == keys(pairs)


@given(records)
def test_equal_keys_are_equal_ids_and_nothing_else(pairs):
    found = keys(pairs)
    seen = {}
    for number, ((identifier, _), key) in enumerate(zip(pairs, found)):
        named = identifier is not MISSING and identifier is not None
        who = ("id", str(identifier)) if named else ("place", number)
        assert seen.setdefault(key, who) == who


@given(records, st.randoms())
def test_order_does_not_matter(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert sorted(keys(shuffled)) == sorted(keys(pairs))
    with_ids = [p for p in pairs if p[0] is not MISSING and p[0] is not None]
    by_id = dict(zip((str(i) for i, _ in with_ids), keys(with_ids)))
    for (identifier, _), key in zip(shuffled, keys(shuffled)):
        if str(identifier) in by_id and identifier is not MISSING and identifier is not None:
            assert by_id[str(identifier)] == key


def test_known_values():
    """Keys must never change: a study is repeated by its seed."""
    found = RecordKeys().of([MISSING, None, "7", 7, 7.0], ["text", "text", "x", "y", "z"])
    assert found.dtype == np.uint64
    assert found.tolist() == [
        2782808678175694264,
        3059280377073557972,
        5376450330344796727,
        5376450330344796727,
        5376450330344796727,
    ]


def test_formats_do_not_change_keys(tmp_path, convert, batches_of):
    rows = [
        {"id": 12345678901234567890123, "text": "a"},
        {"id": 12345678901234567890124, "text": "a"},
        {"id": "x", "text": "a"},
        {"id": None, "text": "é"},
        {"text": "é"},
        {"id": 2.0, "text": ""},
    ]
    source = tmp_path / "in.jsonl"

    def found(path):
        known = RecordKeys()
        return [
            k for b in batches_of(path) for k in known.of(b.column("id"), b.column("text")).tolist()
        ]

    for chosen in (
        rows,
        [{"id": 1, "text": "a"}, {"id": 2.5, "text": "b"}, {"text": "c"}],
        rows[3:5],
    ):
        source.write_text("".join(json.dumps(row) + "\n" for row in chosen))
        expected = found(source)
        assert len(set(expected)) == len(chosen)
        for name in ("out.parquet", "out.arrow", "out.jsonl.zst"):
            assert found(convert(source, tmp_path / name)) == expected
