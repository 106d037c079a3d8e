"""FollowBench's rules for constraints that need no judge (arXiv 2310.20410 and its released code).

They follow the authors' code, peculiarities included, so that results are comparable: a sentence is the text
between ``.``, ``!`` and ``?``; a rule says whether all constraints of a level are kept, not which.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable

# Answers of the examples of type ``format`` that have rules.
FORMAT_EXAMPLES = (22, 30)


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"[.!?]", text) if part]


def _holds(text: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text) is not None


def _sentence_holds(text: str, number: int, word: str) -> bool:
    sentences = _sentences(text)
    return len(sentences) >= number and _holds(sentences[number - 1], word)


def _words(text: str) -> int:
    return len(text.split(" "))


def _marks(text: str) -> int:
    return sum(character in string.punctuation for character in text)


def _last(pattern: str) -> Callable[[str, str, int], bool]:
    """Whether the last match is the target."""
    return lambda answer, target, level: re.findall(pattern, answer)[-1:] == [target]


def _one_of(answer: str, target: str, level: int) -> bool:
    # The target is a Python list literal; its strings are extracted, nothing is evaluated.
    # An unterminated string takes the rest, so that the search does not backtrack.
    strings = re.findall(
        r"'((?:[^'\\]|\\.)*+)(?:'|\\?\Z)|\"((?:[^\"\\]|\\.)*+)(?:\"|\\?\Z)", target, re.DOTALL
    )
    return answer in {re.sub(r"\\(.)", r"\1", single or double) for single, double in strings}


def _steps(*checks: Callable[[str], bool]) -> Callable[[str, str, int], bool]:
    """Whether all checks up to the level pass."""
    return lambda answer, target, level: all(check(answer) for check in checks[:level])


_RULES: dict[str, Callable[[str, str, int], bool]] = {
    "E2E": lambda answer, target, level: answer == target,
    "WIKIEVENTS": lambda answer, target, level: set(answer.split("\n")) <= {*target.split("\n")},
    "CONLL2003": _one_of,
    "text_editing": lambda answer, target, level: answer == target,
    "BBH_logical": _last(r"\([A-Z]\)"),
    "BBH_time": _last(r"\d{2}/\d{2}/\d{4}"),
    "self_made_space": lambda answer, target, level: target in answer,
    "gsm_8k": _last(r"\$\d+"),
    "cnn_dailymail": _steps(
        lambda a: len(_sentences(a)) == 3,
        lambda a: all(len(one.split()) < 15 for one in _sentences(a)),
        lambda a: all(
            _sentence_holds(a, number, word)
            for number, word in ((1, "Potter"), (2, "actor"), (3, "films"))
        ),
        lambda a: not _sentence_holds(a, 2, "lavish"),
        lambda a: (
            len(_sentences(a)) > 2
            and re.search(r"\b(?:has|have)\s+\w+", _sentences(a)[2]) is not None
        ),
    ),
    "xsum": _steps(
        lambda a: len(_sentences(a)) == 1,
        lambda a: _words(a) < 20,
        lambda a: not _holds(a, "Newton Stewart"),
        lambda a: re.search(r"\b(?:am|is|are)\s+\w+ing\b", a) is not None,
        lambda a: _holds(a, "operation"),
    ),
    "samsum": _steps(
        lambda a: len(_sentences(a)) == 1,
        lambda a: _words(a) < 15,
        lambda a: _holds(a, "stuff"),
        lambda a: "procrast" not in a.lower(),
        lambda a: _marks(a) == 1,
    ),
    "gigaword": _steps(
        lambda a: _words(a) == 8,
        lambda a: not _marks(a),
        str.islower,
        lambda a: not _holds(a, "bus"),
        lambda a: _holds(a, "in"),
    ),
    "arxiv": _steps(
        lambda a: len(_sentences(a)) == 1,
        lambda a: _words(a) <= 20,
        lambda a: a.startswith("We"),
        lambda a: _holds(a, "activations"),
        lambda a: not _holds(a, "transformer"),
    ),
}


def _table(answer: str, level: int) -> bool:
    """Example 22 of type format: how to care for a wooden table, in three paragraphs."""
    parts = answer.split("\n\n")
    numbered = [part.lstrip() for part in parts]
    checks = (
        # The fifth level's closing words form a separate paragraph.
        len(parts) == (4 if level == 5 else 3),
        all(len(_sentences(part)) < 3 for part in parts[:3]),
        all(len(one.split()) > 20 for one in _sentences(answer)),
        all(re.match(r"\d+\.", part) for part in numbered if part),
        answer.endswith("Those are suggestions"),
    )
    return all(checks[:level])


def _speech(answer: str, level: int) -> bool:
    """Example 30 of type format: a speech on five benefits."""
    parts = re.split(r"(?<!\w\.\w.)(?<![A-Z][a-z]\.)(?<=\.|\?)\s", answer)
    points = [part for part in parts if any(f"{number}." in part for number in range(1, 6))]
    checks = (
        "**" in answer,
        # Without a colon the match takes the rest of the line, so that the search is linear.
        sum(map(bool, re.findall(r"\*\*\d.[^:\n]*+(:?)", answer))) == 5,
        all(len(part.split(".")) < 3 for part in points),
        all(10 <= len(part.split()) <= 15 for part in parts),
        not any(word.endswith("-ly") for word in answer.split()),
    )
    return all(checks[:level])


def _like_examples(answer: str, target: str) -> bool:
    """An answer in the shape of the examples before it (type example)."""
    shape = target.replace("{instruction}\n", "").replace("{{", "{").replace("}}", "}")
    first, *more = shape.split("{answer}")
    if not more:
        return answer == first
    # Between the pieces anything but a line end may occur, so the first match of each piece will do.
    *middle, last = more
    end = len(answer) - len(last)
    at = len(first)
    for piece in middle:
        start = answer.find(piece, at)
        if start < 0 or "\n" in answer[at:start]:
            return False
        at = start + len(piece)
    fits = answer.startswith(first) and answer.endswith(last)
    return fits and at <= end and "\n" not in answer[at:end]


def has_rule(kind: str, origin: str, example: int) -> bool:
    """Whether a rule decides. ``kind``: type of the constraints; ``origin``: source of the instruction;
    ``example``: its number."""
    return (
        kind == "example" or origin in _RULES or (kind == "format" and example in FORMAT_EXAMPLES)
    )


def kept(kind: str, origin: str, example: int, level: int, target: str, answer: str) -> bool:
    """Whether an answer keeps all constraints of its level."""
    if kind == "example":
        return _like_examples(answer, target)
    if origin in _RULES:
        return bool(_RULES[origin](answer, target, level))
    return _table(answer, level) if example == FORMAT_EXAMPLES[0] else _speech(answer, level)
