"""SHA-1 and SHA-256 of eight messages at once, one in each lane of the vector registers.

FIPS 180-4. The rounds are written out for LLVM as operations on vectors of eight 32-bit words, which
every processor supports at some width; a round in plain numba would use only one lane. On one core of an
x86-64 server that gives 15 million short messages a second (SHA-1: 17), compared to 2.2 with hashlib. A state is
uint32 [words · 8] and a block uint32 [16 · 8]: word by word, the eight messages side by side.
"""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from synthtools.compiled import compiled

LANES = 8
_VECTOR = ir.VectorType(ir.IntType(32), LANES)
_U32 = np.uint32


def _primes(count: int) -> list[int]:
    primes: list[int] = []
    number = 2
    while len(primes) < count:
        if all(number % prime for prime in primes):
            primes.append(number)
        number += 1
    return primes


def _cube_root(number: int) -> int:
    """The largest integer whose cube is at most the number."""
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle)
    return low


# First 32 bits of the fractional parts of the roots of the first primes.
_ROUNDS_256 = [_cube_root(prime << 96) & 0xFFFFFFFF for prime in _primes(64)]
_START_256 = [isqrt(prime << 64) & 0xFFFFFFFF for prime in _primes(8)]
_START_1 = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0]
_ROUNDS_1 = [isqrt(root << 60) & 0xFFFFFFFF for root in (2, 3, 5, 10)]

SHA1_START = np.repeat(np.array(_START_1, np.uint32), LANES)
SHA256_START = np.repeat(np.array(_START_256, np.uint32), LANES)


# ---------------------------------------------------------------- rounds


class _Words:
    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def constant(self, value: int) -> ir.Constant:
        return ir.Constant(_VECTOR, [value] * LANES)

    def add(self, *values: Any) -> Any:
        total = values[0]
        for value in values[1:]:
            total = self.builder.add(total, value)
        return total

    def xor(self, *values: Any) -> Any:
        total = values[0]
        for value in values[1:]:
            total = self.builder.xor(total, value)
        return total

    def left(self, value: Any, by: int) -> Any:
        high = self.builder.shl(value, self.constant(by))
        return self.builder.or_(high, self.builder.lshr(value, self.constant(32 - by)))

    def right(self, value: Any, by: int) -> Any:
        return self.left(value, 32 - by)

    def shifted(self, value: Any, by: int) -> Any:
        return self.builder.lshr(value, self.constant(by))

    def choose(self, mask: Any, one: Any, zero: Any) -> Any:
        """Bits of ``one`` where the mask is set, else of ``zero``."""
        return self.xor(zero, self.builder.and_(mask, self.xor(one, zero)))

    def majority(self, a: Any, b: Any, c: Any) -> Any:
        return self.choose(self.xor(a, b), c, a)


def _rounds_256(words: _Words, state: list[Any], schedule: list[Any]) -> list[Any]:
    a, b, c, d, e, f, g, h = state
    w = list(schedule)
    for t, constant in enumerate(_ROUNDS_256):
        if t >= 16:
            far, near = w[(t + 1) % 16], w[(t + 14) % 16]
            sigma_0 = words.xor(words.right(far, 7), words.right(far, 18), words.shifted(far, 3))
            sigma_1 = words.xor(
                words.right(near, 17), words.right(near, 19), words.shifted(near, 10)
            )
            w[t % 16] = words.add(w[t % 16], sigma_0, w[(t + 9) % 16], sigma_1)
        sum_1 = words.xor(words.right(e, 6), words.right(e, 11), words.right(e, 25))
        first = words.add(
            h, words.constant(constant), w[t % 16], words.choose(e, f, g), sum_1
        )  # fmt: skip
        sum_0 = words.xor(words.right(a, 2), words.right(a, 13), words.right(a, 22))
        second = words.add(sum_0, words.majority(a, b, c))
        a, b, c, d, e, f, g, h = words.add(first, second), a, b, c, words.add(d, first), e, f, g
    return [a, b, c, d, e, f, g, h]


def _rounds_1(words: _Words, state: list[Any], schedule: list[Any]) -> list[Any]:
    a, b, c, d, e = state
    w = list(schedule)
    for t in range(80):
        if t >= 16:
            mixed = words.xor(w[(t + 13) % 16], w[(t + 8) % 16], w[(t + 2) % 16], w[t % 16])
            w[t % 16] = words.left(mixed, 1)
        if t < 20:
            function = words.choose(b, c, d)
        elif 40 <= t < 60:
            function = words.majority(b, c, d)
        else:
            function = words.xor(b, c, d)
        constant = words.constant(_ROUNDS_1[t // 20])
        new = words.add(e, constant, w[t % 16], function, words.left(a, 5))
        a, b, c, d, e = new, a, words.left(b, 30), c, d
    return [a, b, c, d, e]


def _emit(rounds: Any, size: int) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def pointers(index: int, count: int) -> list[Any]:
            array = context.make_array(signature.args[index])(context, builder, arguments[index])
            first = builder.bitcast(array.data, _VECTOR.as_pointer())
            place = ir.IntType(64)
            return [builder.gep(first, [ir.Constant(place, row)]) for row in range(count)]

        def read(pointer: Any) -> Any:
            value = builder.load(pointer)
            value.align = 4
            return value

        state = pointers(0, size)
        before = [read(pointer) for pointer in state]
        block = [read(pointer) for pointer in pointers(1, 16)]
        for pointer, old, new in zip(
            state, before, rounds(_Words(builder), before, block), strict=True
        ):
            builder.store(builder.add(old, new), pointer).align = 4
        return context.get_dummy_value()

    return generate


@intrinsic
def _block_256(typing_context, state, block):
    return types.none(state, block), _emit(_rounds_256, 8)


@intrinsic
def _block_1(typing_context, state, block):
    return types.none(state, block), _emit(_rounds_1, 5)


@compiled
def sha256_block(state, block):
    """Takes one block of each of eight messages into their states."""
    _block_256(state, block)


@compiled
def sha1_block(state, block):
    """Takes one block of each of eight messages into their states."""
    _block_1(state, block)


# ---------------------------------------------------------------- messages


@compiled
def blocks_of(length):
    """Number of blocks of a message of ``length`` bytes, padding included."""
    return (length + 8) // 64 + 1


@compiled
def put_block(text, begin, length, number, block, lane):
    """Copies one block of the padded message ``text[begin : begin + length]`` into a lane.

    May read (and ignore) three bytes past the message.
    """
    start = np.uint64(begin + 64 * number)
    left = min(max(length - 64 * number, -1), 64)
    whole = max(left, 0) >> 2
    for index in range(whole):
        at = start + np.uint64(4 * index)
        block[index * LANES + lane] = (
            _U32(text[at]) << _U32(24)
            | _U32(text[at + np.uint64(1)]) << _U32(16)
            | _U32(text[at + np.uint64(2)]) << _U32(8)
            | _U32(text[at + np.uint64(3)])
        )
    for index in range(whole, 16):
        block[index * LANES + lane] = 0
    if 0 <= left < 64:
        word = _U32(0x80)
        for index in range(4 * whole, left):
            word |= _U32(text[start + np.uint64(index)]) << _U32(8) << _U32(8 * (left - 1 - index))
        block[whole * LANES + lane] = word << _U32(8 * (3 - (left & 3)))
    if number == blocks_of(length) - 1:
        block[14 * LANES + lane] = _U32(length >> 29)
        block[15 * LANES + lane] = _U32((length << 3) & 0xFFFFFFFF)
