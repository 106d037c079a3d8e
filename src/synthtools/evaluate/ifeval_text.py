"""How IFEval counts words and sentences, and detects languages (arXiv 2311.07911).

The published checker counts with NLTK (Punkt for sentences) and langdetect. Sentences and words are
counted here by rules that decide as those do on English text; languages are those of ``text.languages``
itself, with a fixed seed.
"""

from __future__ import annotations

import re

# A period after these ends no sentence, unless a word follows that often begins one.
_ABBREVIATIONS_TEXT = (
    "mr mrs ms messrs dr prof sr jr st gen col maj lt adm sen rep reps "
    "jan feb aug sep sept oct nov dec tues wed fri "
    "inc ltd co cos corp bros cie "
    "ala ariz calif colo conn fla ga ill kan ky mich minn nev okla ore pa tenn va vt wash wis "
    "ave ft yr vs mg chg "
)
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())
# Letters with periods between them (U.S, p.m, Ph.D); Punkt's English model knows no e.g. and i.e.
_LETTERS = re.compile(r"(?:[a-z]\.)+[a-z]|ph\.d")
_NOT_KNOWN = frozenset(("e.g", "i.e"))
_STARTERS_TEXT = (
    "the a an in on at for from with by as and but or so if when while after before since because "
    "although however moreover meanwhile then thus still yet also some most many each both several "
    "he she it we they you i his her its our their your my this that these those there here "
    "what who why how where which no not one even such under among despite "
)
_STARTERS = frozenset(_STARTERS_TEXT.split())
_CLOSING = re.compile(r"[\"')\]}]*")
_STOP = re.compile(r"[.?!]+")
# No common first word, abbreviation or number is longer [ours]: so far is looked around a period.
_LONGEST = 200
_NEXT = re.compile(rf"[\s\"'(\[{{“‘*_]*+(\S{{1,{_LONGEST}}})")
_OPENING = frozenset(";:@*({[")


def sentences(text: str) -> int:
    """Sentences of a text.

    A sentence ends with ``.``, ``?`` or ``!`` before a blank, a closing mark or an opening one. A
    period ends none after an abbreviation, an initial or an ellipsis unless a common first word
    follows, none in a number, and none after a number that a small letter follows.
    """
    if not text.strip():
        return 0
    text = text.rstrip()
    return 1 + sum(_ends(text, stop.start(), stop.end()) for stop in _STOP.finditer(text))


def _ends(text: str, start: int, end: int) -> bool:
    closing = _CLOSING.match(text, end)
    closed = end if closing is None else closing.end()
    if closed == len(text):
        return False
    if closed == end and not (text[end].isspace() or text[end] in _OPENING):
        return False
    marks = text[start:end]
    if marks.strip("."):
        return True
    following = _NEXT.match(text, closed)
    follower = following[1] if following else ""
    first = re.sub(r"\W.*", "", follower).lower()
    starter = follower[:1].isupper() and first in _STARTERS
    if len(marks) > 1:
        return starter
    before = text[max(0, start - _LONGEST) : start].rsplit(None, 1)
    word = before[-1].lower() if before and not text[start - 1 : start].isspace() else ""
    word = word.lstrip("\"'([{“‘*_")
    if len(word) == 1 and word.isalpha():
        return starter
    if re.fullmatch(r"-?[\d.,]*\d", word):
        return not follower[:1].islower()
    tail = word.rpartition("-")[2]
    known = word in _ABBREVIATIONS or tail in _ABBREVIATIONS
    if known or (_LETTERS.fullmatch(word) and word not in _NOT_KNOWN):
        return starter
    return True


def words(text: str) -> int:
    """Words of a text: runs of letters, digits and underscores."""
    return len(re.findall(r"\w+", text))


_BETWEEN = re.compile(r"[\s\"“”‘’«»„`;@#$%&?!*\[\](){}<>\u2012-\u2015]+|--|\.{2,}|[:,](?!\d)")
_CLITIC = re.compile(r"(?<=.)(?:'[SMD]|'LL|'RE|'VE|N'T)$")
_JOINED = frozenset(("CANNOT", "GIMME", "GONNA", "GOTTA", "LEMME", "WANNA"))


def capital_words(text: str) -> int:
    """Words without a small letter and with a capital, as the Penn Treebank's conventions cut them:
    ``DON'T`` and ``CANNOT`` are two, ``A-B`` is one."""
    count = 0
    for word in _BETWEEN.split(text):
        if word.isupper():
            count += 1 + bool(_CLITIC.search(word)) + (word.strip(".'") in _JOINED)
        else:
            # NASA's: the part before the clitic is a word of its own.
            bare = re.sub(r"'(?:s|m|d|ll|re|ve)$", "", word)
            count += bare != word and bare.isupper()
    return count
