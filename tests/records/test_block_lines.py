import numpy as np
import pytest

from synthtools.records.block_lines import BlockLines, joined

LINES = [b'{"text":"a"}', b"", b'{"text":"\xc3\xbc"}\r', b"x" * 5000, b"last"]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_the_lines_of_a_block_are_those_that_python_splits(end):
    lines = BlockLines.within(b"\n".join(LINES) + end)
    assert [*lines] == LINES and [lines[i] for i in range(len(lines))] == LINES
    assert lines.sizes().tolist() == [len(line) + 1 for line in LINES]
    assert bytes(lines.content()) == b"\n".join([*LINES, b""])


def test_a_block_without_lines():
    lines = BlockLines.within(b"")
    assert [*lines] == [] and bytes(lines.content()) == b""
    assert [*joined([lines, lines], np.zeros(0, np.int64))] == []


def test_a_slice_shares_the_block_and_a_choice_does_not():
    lines = BlockLines.within(b"\n".join(LINES))
    part, chosen = lines.take(slice(1, 3)), lines.take([4, 0, 4])
    assert [*part] == LINES[1:3] == lines[1:3] and part.block_bytes == lines.block_bytes
    assert bytes(part.content()) == b"\n".join([*LINES[1:3], b""])
    assert [*chosen] == [LINES[4], LINES[0], LINES[4]] and chosen.block_bytes == 5 + 13 + 5
    assert bytes(lines.take(slice(0, 5, 2)).content()) == b"\n".join([*LINES[::2], b""])


def test_lines_of_several_blocks_in_any_order():
    draws = np.random.default_rng(3)
    parts = [BlockLines.of([b"%d-%d" % (p, i) * p for i in range(7)]) for p in range(4)]
    every = [line for part in parts for line in part]
    for order in (draws.permutation(28), draws.integers(0, 28, 60), np.array([3])):
        both = joined(parts, order)
        assert [*both] == [every[i] for i in order]
        assert bytes(both.content()) == b"".join(every[i] + b"\n" for i in order)
