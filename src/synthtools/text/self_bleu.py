"""Self-BLEU in linear time: each sentence against all others, by sacreBLEU's definition.

What a sentence's n-gram can match is the most often that it stands in any one other sentence. The
two largest counts of each n-gram, and whose the largest is, tell this for every sentence at once; so
one pass over all n-grams replaces the comparison of each pair.

Tokens are those of mteval-v13a, "13a" in sacreBLEU: four rules, one after the other, each over the whole sentence
with a space before and behind it. A rule that takes two characters goes on behind both, as a regular expression
does.

    a mark of ASCII, but not ' , - .       stands alone
    . or , after what is not a digit       stands alone
    . or , before what is not a digit      stands alone
    - after a digit                        stands alone

Here all four are applied in one pass. Of several points or commas in a row, the second rule takes each one that the
one before was not taken with; so for a point only this, the character before it and the one behind it matter.
"""

from __future__ import annotations

import numpy as np

from synthtools.compiled import compiled
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.sentences import SentenceBounds
from synthtools.text.tokeniser import GOLDEN, buffers, decode, finalise
from synthtools.text.unicode import SPACE, unicode

_U = np.uint64
_BLANK, _DASH = 0x20, 0x2D
_AMPERSAND, _LESS = 0x26, 0x3C
# One after the other; a zero is nothing.
_ENTITIES = (
    (b"<skipped>", 0),
    (b"&quot;", 0x22),
    (b"&amp;", 0x26),
    (b"&lt;", 0x3C),
    (b"&gt;", 0x3E),
)
_LENGTHS = np.array([len(name) for name, _ in _ENTITIES])
_SIGNS = np.array([sign for _, sign in _ENTITIES], np.uint8)
_REPLACED = np.zeros((len(_ENTITIES), _LENGTHS.max()), np.uint8)
for _row, (_name, _) in enumerate(_ENTITIES):
    _REPLACED[_row, : len(_name)] = list(_name)

_ALONE, _POINT, _DIGIT = 1, 2, 4
_KINDS = np.zeros(256, np.uint8)
for _low, _high in ((0x20, 0x26), (0x28, 0x2B), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)):
    _KINDS[_low : _high + 1] = _ALONE
_KINDS[ord("/")] = _ALONE
_KINDS[[ord("."), ord(",")]] = _POINT
_KINDS[ord("0") : ord("9") + 1] = _DIGIT


def token_hashes(texts: TextBuffer, sentences: SentenceBounds) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of sentences, which hold no line's end.

    Returns:
        (hashes, starts): uint64 [tokens], equal where tokens are equal; int64 [sentences + 1].
    """
    data, _ = buffers(texts)
    return _token_hashes(data, sentences.begins, sentences.ends, unicode().classes)


@compiled
def _token_hashes(data, begins, ends, classes):
    longest, total = 0, 0
    for line in range(begins.size):
        longest = max(longest, ends[line] - begins[line])
        total += ends[line] - begins[line]
    cleaned = np.empty(longest, np.uint8)
    hashes = np.empty(total, np.uint64)
    starts = np.empty(begins.size + 1, np.int64)
    count = 0
    for line in range(begins.size):
        starts[line] = count
        some = False
        for at in range(begins[line], ends[line]):
            some |= (data[at] == _AMPERSAND) | (data[at] == _LESS)
        if some:
            used = _cleaned(data, begins[line], ends[line], cleaned)
            count = _tokens(cleaned, 0, used, classes, hashes, count)
        else:
            count = _tokens(data, begins[line], ends[line], classes, hashes, count)
    starts[begins.size] = count
    return hashes[:count].copy(), starts


@compiled
def _cleaned(data, begin, end, out):
    """Copies a sentence as it is before the rules: a mark of the evaluation taken out, entities read."""
    out[: end - begin] = data[begin:end]
    used = end - begin
    for row in range(_LENGTHS.size):
        at, to, length = 0, 0, _LENGTHS[row]
        while at < used:
            same = at + length <= used
            for index in range(length):
                same = same and out[at + index] == _REPLACED[row, index]
            out[to] = _SIGNS[row] if same else out[at]
            to += not same or _SIGNS[row] > 0
            at += length if same else 1
        used = to
    return used


@compiled
def _mixed(value, byte):
    value = (value ^ _U(byte)) * GOLDEN
    return value ^ (value >> _U(29))


@compiled
def _tokens(data, begin, end, classes, hashes, count):
    """Tokens of a cleaned sentence, hashed byte by byte."""
    at, length, value = begin, 0, _U(0)  # length, value: of the open token
    digit, taken = False, False  # the character before: a digit; a point that the second rule took
    while at <= end:
        code, width = np.int64(data[at]) if at < end else np.int64(_BLANK), 1
        if code >= 0x80:
            code, width = decode(data, at)
        kind = _KINDS[code] if code < 0x80 else 0
        space = (classes[code] & SPACE) != 0
        alone = kind == _ALONE
        was, digit = digit, kind == _DIGIT
        took, taken = taken, False
        if kind == _POINT:
            taken = not was and not took
            alone = taken or at + 1 == end or _KINDS[data[at + 1]] != _DIGIT
        elif code == _DASH:
            alone = was
        if length and (space or alone):
            hashes[count] = finalise(value + _U(length) * GOLDEN)
            count += 1
            value, length = _U(0), 0
        if alone and not space:
            hashes[count] = finalise(_mixed(_U(0), code) + GOLDEN)
            count += 1
        elif not space:
            for index in range(at, at + width):
                value = _mixed(value, data[index])
            length += width
        at += width
    return count


ORDERS = 4


def self_bleu(tokens: np.ndarray, starts: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """BLEU of each sentence against all others of its set, 0…100: float64 [sentences].

    sacreBLEU's sentence BLEU: n ≤ 4, effective order, exponential smoothing, the closest length
    (the shorter of two). NaN for a sentence that is alone in its set.

    Args:
        tokens: int64, equal where tokens are equal; the order of the numbers means nothing.
        starts: int64 [sentences + 1], where each sentence begins.
        sets: int64 [sets + 1], the sentences with which each set begins.

    Memory: 130 bytes a token of the largest set.
    """
    scores = np.full(len(starts) - 1, np.nan)
    _self_bleu(*(np.ascontiguousarray(one, np.int64) for one in (tokens, starts, sets)), scores)
    return scores


# Of an n-gram: the sentence in hand and its count; the largest count, whose it is, and the next.
_SENTENCE, _COUNT, _MOST, _WHOSE, _NEXT = range(5)


@compiled
def _self_bleu(tokens, starts, sets, scores):
    most = 0
    for one in range(sets.size - 1):
        most = max(most, starts[sets[one + 1]] - starts[sets[one]])
    size = 16
    while size < 2 * most:
        size *= 2
    # A key, and the stamp of a set and an order before the number of the n-gram.
    slots = np.full((size, 2), -1, np.int64)
    of_gram = np.empty((most, 5), np.int32)
    # At each token: the n-gram that ends there, -1 for one of a single sentence; its count so far.
    grams, shorter = np.empty(most, np.int64), np.empty(most, np.int64)
    counts = np.empty(most, np.int32)
    stamp = 0
    for one in range(sets.size - 1):
        first, end = sets[one], sets[one + 1]
        if end - first < 2:
            continue
        base = starts[first]
        size = 16
        while size < 2 * (starts[end] - base):
            size *= 2
        mask = _U(size - 1)
        correct = np.zeros((end - first, ORDERS), np.int64)
        for order in range(1, ORDERS + 1):
            stamp += 1
            held = 0
            for sentence in range(first, end):
                for at in range(starts[sentence] + order - 1, starts[sentence + 1]):
                    key = tokens[at]
                    if order > 1:
                        # What no other sentence has a part of, none has.
                        left, right = shorter[at - 1 - base], shorter[at - base]
                        if left < 0 or right < 0:
                            grams[at - base] = -1
                            continue
                        key = left << 32 | right
                    slot = np.int64(finalise(_U(key)) & mask)
                    while slots[slot, 1] >> 32 == stamp and slots[slot, 0] != key:
                        slot = (slot + 1) & (size - 1)
                    if slots[slot, 1] >> 32 != stamp:
                        slots[slot, 0], slots[slot, 1] = key, stamp << 32 | held
                        of_gram[held, _SENTENCE], of_gram[held, _WHOSE] = -1, -1
                        of_gram[held, _MOST], of_gram[held, _NEXT] = 0, 0
                        held += 1
                    number = slots[slot, 1] & 0xFFFFFFFF
                    grams[at - base] = number
                    gram = of_gram[number]
                    if gram[_SENTENCE] != sentence - first:
                        gram[_SENTENCE], gram[_COUNT] = sentence - first, 0
                    gram[_COUNT] += 1
                    count = gram[_COUNT]
                    counts[at - base] = count
                    if gram[_WHOSE] == sentence - first:
                        gram[_MOST] = count
                    elif count > gram[_MOST]:
                        gram[_NEXT] = gram[_MOST]
                        gram[_MOST], gram[_WHOSE] = count, sentence - first
                    elif count > gram[_NEXT]:
                        gram[_NEXT] = count
            for sentence in range(first, end):
                for at in range(starts[sentence] + order - 1, starts[sentence + 1]):
                    if grams[at - base] < 0:
                        shorter[at - base] = -1
                        continue
                    gram = of_gram[grams[at - base]]
                    others = gram[_NEXT] if gram[_WHOSE] == sentence - first else gram[_MOST]
                    correct[sentence - first, order - 1] += counts[at - base] <= others
                    shorter[at - base] = grams[at - base] if gram[_NEXT] > 0 else -1
        lengths = np.sort(starts[first + 1 : end + 1] - starts[first:end])
        for sentence in range(first, end):
            length = starts[sentence + 1] - starts[sentence]
            scores[sentence] = _score(correct[sentence - first], length, _closest(lengths, length))


@compiled
def _closest(lengths, length):
    """The length nearest to one of the ascending lengths, that one left out once; the shorter of two."""
    at = np.searchsorted(lengths, length)
    if at + 1 < lengths.size and lengths[at + 1] == length:
        return length
    if at == 0:
        return lengths[1]
    if at + 1 == lengths.size or length - lengths[at - 1] <= lengths[at + 1] - length:
        return lengths[at - 1]
    return lengths[at + 1]


@compiled
def _score(correct, length, reference):
    if not correct.any():
        return 0.0
    smooth = 1.0
    logarithms = 0.0
    orders = 0
    for order in range(ORDERS):
        total = length - order
        if total <= 0:
            break
        orders += 1
        if correct[order] == 0:
            smooth *= 2
            logarithms += np.log(100.0 / (smooth * total))
        else:
            logarithms += np.log(100.0 * correct[order] / total)
    penalty = 1.0 if length >= reference else np.exp(1 - reference / length)
    return penalty * np.exp(logarithms / orders)
