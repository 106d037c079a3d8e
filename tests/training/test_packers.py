"""Rows as a pure function of (seed, step)."""

from contextlib import closing

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from synthtools.records.rejects import Rejects
from synthtools.training import token_windows
from synthtools.training.corpus import TokenizedDocument
from synthtools.training.packers import IGNORED, Blend, CutPacker, Rows, WholePacker
from synthtools.training.plan import Documents, Source
from synthtools.training.token_windows import TokenWindows

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def corpus(lengths):
    """Documents whose tokens tell where they come from: document · 100 + place."""
    tokens = np.concatenate([np.arange(n) + 100 * d for d, n in enumerate(lengths)])
    return tokens, np.concatenate([[0], np.cumsum(lengths)])


@given(LENGTHS, st.integers(2, 16), st.integers(0, 5))
def test_an_epoch_of_cut_rows_holds_every_token_once(lengths, length, seed):
    tokens, starts = corpus(lengths)
    tokens = tokens + 1  # 0 is padding
    packer = CutPacker(tokens, starts, length, seed)
    for epoch in range(2):
        rows = range(epoch * packer.rows, (epoch + 1) * packer.rows)
        seen = np.concatenate([packer.row(row)[0] for row in rows])
        assert sorted(seen[seen > 0]) == sorted(tokens)
        assert (seen == 0).sum() == -len(tokens) % length  # one row alone is shorter


@given(LENGTHS, st.integers(2, 16), st.integers(0, 3), st.booleans(), st.booleans())
def test_an_epoch_of_whole_rows_learns_every_token_once(lengths, length, seed, pack, masked):
    tokens, starts = corpus(lengths)
    learned = np.random.default_rng(seed).random(len(tokens)) < 0.5 if masked else None
    packer = WholePacker(tokens, starts, length, seed, learned, pack)
    labels = np.concatenate([packer.row(row)[2] for row in range(packer.rows)])
    labels = labels[labels != IGNORED]
    # Long documents go in pieces; the first token of each piece has nothing before it.
    expected = [
        token
        for place, token in enumerate(tokens)
        if (token % 100) % length and (learned is None or learned[place])
    ]
    assert sorted(labels) == sorted(expected)
    pieces = sum(-(-n // length) for n in lengths)
    assert packer.rows == pieces if not pack else packer.rows <= pieces


@given(LENGTHS, st.integers(2, 16), st.integers(0, 40))
def test_labels_follow_within_documents_and_positions_begin_with_them(lengths, length, row):
    tokens, starts = corpus(lengths)
    for packer in (WholePacker(tokens, starts, length, 0), CutPacker(tokens, starts, length, 0)):
        of_row, positions, labels = packer.row(row)
        for place in np.flatnonzero(labels != IGNORED):
            assert labels[place] == of_row[place + 1] == of_row[place] + 1
            assert positions[place + 1] == positions[place] + 1
        assert positions[0] == 0


def test_whole_documents_fill_rows_well():
    lengths = np.random.default_rng(0).integers(5, 100, 2000)
    tokens, starts = corpus(lengths)
    packer = WholePacker(tokens, starts, 128, 0)
    assert len(tokens) / (packer.rows * 128) > 0.97


def test_a_batch_depends_on_seed_and_step_alone():
    tokens, starts = corpus([17, 30, 8, 25, 40, 12])
    for kind in (CutPacker, WholePacker):
        forward = Blend([kind(tokens, starts, 8, 3)])
        batches = [forward.batch(step, 3) for step in range(12)]  # over several epochs
        backward = Blend([kind(tokens, starts, 8, 3)])
        for step in reversed(range(12)):
            for one, other in zip(batches[step], backward.batch(step, 3), strict=True):
                np.testing.assert_array_equal(one, other)
        other = Blend([kind(tokens, starts, 8, 4)])
        assert any((other.batch(s, 3).tokens != batches[s].tokens).any() for s in range(12))


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(0, 50))
def test_sources_come_in_their_shares_at_any_time(parts, step):
    shares = np.array(parts) / sum(parts)
    tokens, starts = corpus([20, 30])
    blend = Blend([CutPacker(tokens, starts, 5, 0) for _ in shares], shares)
    seen = np.concatenate([blend.batch(s, 4).sources for s in range(step + 1)])
    counts = np.bincount(seen, minlength=len(shares))
    assert np.abs(counts - shares * len(seen)).max() < 5


def documents_of(batch):
    """Where each row of documents of one row comes from: (source, document)."""
    return [(int(s), int(t) // 100) for s, t in zip(batch.sources, batch.tokens[:, 0], strict=True)]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(1, 9), st.integers(1, 3))
def test_an_epoch_of_several_sources_holds_each_row_once(counts, batch, epochs):
    packers = [WholePacker(*corpus([3] * count), 8, 0, pack=False) for count in counts]
    blend = Blend(packers)
    rows = blend.rows_of(epochs)
    assert rows == epochs * sum(counts)
    steps = -(-rows // batch)
    batches = [blend.batch(step, batch, rows) for step in range(steps)]
    # Every batch is full but the last, which holds what is left.
    assert [len(b.sources) for b in batches[:-1]] == [batch] * (steps - 1)
    assert len(batches[-1].sources) == rows - (steps - 1) * batch
    seen = [document for b in batches for document in documents_of(b)]
    every = [(source, d) for source, count in enumerate(counts) for d in range(count)]
    for epoch in range(epochs):
        assert sorted(seen[epoch * len(every) : (epoch + 1) * len(every)]) == sorted(every)
    assert blend.given(rows) == [(count * epochs, count * (epochs - 1), 0) for count in counts]


def test_a_source_comes_evenly_in_an_epoch():
    blend = Blend([WholePacker(*corpus([3] * n), 8, 0, pack=False) for n in (30, 10)])
    sources = blend.batch(0, 40).sources
    assert all(1 <= sources[first : first + 8].sum() <= 3 for first in range(0, 40, 8))


def test_with_shares_a_pass_ends_where_the_first_source_has_given_all():
    packers = [WholePacker(*corpus([3] * n), 8, 0, pack=False) for n in (9, 50)]
    blend = Blend(packers, [0.5, 0.5])
    for epochs, of_first in ((1, 9), (2, 18), (0.5, 4)):
        rows = blend.rows_of(epochs)
        sources = blend.batch(0, rows).sources
        assert (sources == 0).sum() == of_first and sources[-1] == 0
    seen, other = blend.given(blend.rows_of(2))
    assert seen == (18, 9, 0)
    assert other.repeated == 0 and other.rows + other.left == 50
    # Of a run that is cut short: what it did not come to.
    assert blend.given(4)[0].left == 9 - blend.given(4)[0].rows > 0


def test_many_epochs_of_many_documents_are_counted_as_they_are_laid():
    # Beyond 4,096 documents neighbours differ from epoch to epoch, and so may rows.
    lengths = np.random.default_rng(0).integers(5, 60, 5000)
    packer = WholePacker(*corpus(lengths), 64, 0)
    blend = Blend([packer])
    rows = blend.rows_of(3)
    assert rows == sum(packer.rows_in(epoch) for epoch in range(3))
    last = rows - packer.rows_in(2)
    starts = [packer.row(row)[0][0] for row in range(last, rows)]
    again = WholePacker(*corpus(lengths), 64, 0)
    assert [again.row(row)[0][0] for row in range(last, rows)] == starts


def test_more_sources_than_a_byte_counts():
    packers = [WholePacker(*corpus([3]), 8, 0) for _ in range(300)]
    for blend in (Blend(packers), Blend(packers, [1 / 300] * 300)):
        assert blend.batch(0, 300).sources.max() == 299


def test_columns_of_padding_are_cut_off():
    tokens, starts = corpus([3, 4])
    rows = Blend([WholePacker(tokens, starts, 200, 0, pack=False)]).batch(0, 2)
    assert rows.tokens.shape == (2, 200)
    assert rows.part(slice(0, 1)).tokens.shape == (1, 64)
    empty = Rows(*(field.copy() for field in rows))
    empty.labels[:] = IGNORED
    assert empty.part(slice(0, 2)).tokens.shape == (2, 1)


def windows(folder, texts, read, makes=True, **more):
    """Rows of eight tokens of a source whose documents are texts of letters, and what was told."""
    rejects = Rejects(skip=True)

    def batches(bad):
        for start in range(0, len(texts), 3):
            read.append(start)
            some = texts[start : start + 3]
            yield Documents(some, sum(map(len, some)), lambda index, reason: None)

    source = Source("s", None, None, batches, lambda: rejects, None, lambda: 0, "digest")

    def encode(some):
        return [TokenizedDocument(np.array([ord(c) for c in text])) for text in some]

    return TokenWindows(folder, source, encode, 256, 8, 5, makes, lambda line: None, **more)


def test_windows_give_the_same_rows_fresh_resumed_and_to_other_ranks(tmp_path, monkeypatch):
    monkeypatch.setattr(token_windows, "_FIRST", 30)
    monkeypatch.setattr(token_windows, "_LARGEST", 100)
    random = np.random.default_rng(0)
    texts = ["".join(map(chr, random.integers(97, 123, n))) for n in random.integers(1, 40, 60)]
    read: list[int] = []
    with closing(windows(tmp_path / "a", texts, read)) as fresh:
        first = [fresh.row(number) for number in range(20)]
        assert fresh.rows_in(0) == 0 and len(read) < 20  # not all is read yet
        some = fresh.facts_of(20)
        with closing(windows(tmp_path / "a", texts, read, makes=False)) as other:
            assert all(np.array_equal(other.row(n), first[n]) for n in (19, 0))
    # What was made is passed over; the rest is made as it would have been.
    with closing(windows(tmp_path / "a", texts, read)) as resumed:
        rows = [resumed.row(number) for number in range(400)]
    with closing(windows(tmp_path / "b", texts, read)) as again:
        every = [again.row(number) for number in range(400)]
        assert again.facts_of(20) == some
    # A run that has ended is resumed: it asks for no row, only for what they came from. A source whose
    # turn never came, and one whose rows after the last are prefetched, are described by the rows alone.
    with closing(windows(tmp_path / "a", texts, read)) as ended:
        count = resumed.rows_in(0)
        given = [Blend([one], [1.0]).given(n) for one in (ended, again) for n in (0, 20, count)]
        assert given[:3] == given[3:] and [g[0].left for g in given[:3]] == [None, None, 0]
    with closing(windows(tmp_path / "a", texts, read)) as ended:
        assert ended.facts_of(0) == again.facts_of(0) and again.facts_of(0)["documents"] == 0
        assert ended.facts_of(20) == some
    with closing(windows(tmp_path / "a", texts, read)) as ended:
        assert ended.used_by(20)[1] == again.used_by(20)[1]
    np.testing.assert_array_equal(rows, every)
    np.testing.assert_array_equal(rows[:20], first)
    assert count == again.rows_in(0) <= 200
    for epoch in range(2):
        seen = np.concatenate([row[0] for row in rows[epoch * count : (epoch + 1) * count]])
        assert sorted(seen[seen > 0]) == sorted(ord(c) for text in texts for c in text)
    assert not np.array_equal(rows[:count], rows[count : 2 * count])
    facts = resumed.facts_of(count)
    assert (facts["documents"], facts["bytes"]) == (60, sum(map(len, texts)))
    # All is there: nothing is read or locked any more.
    before = len(read)
    with (
        closing(windows(tmp_path / "a", texts, read)),
        closing(windows(tmp_path / "a", texts, read)) as second,
    ):
        np.testing.assert_array_equal(second.row(3), first[3])
    assert len(read) == before


def test_one_window_is_the_order_of_the_whole(tmp_path):
    texts = ["a", "bcd" * 7, "efgh" * 5, "ij"]
    tokens = np.array([ord(c) for text in texts for c in text])
    whole = CutPacker(tokens, np.cumsum([0, *map(len, texts)]), 8, 5)
    with closing(windows(tmp_path / "a", texts, [])) as one:
        for number in range(3 * whole.rows):
            np.testing.assert_array_equal(one.row(number), whole.row(number))
