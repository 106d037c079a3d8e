"""The 25 verifiable instructions of IFEval (arXiv 2311.07911, table 1), each a function of the answer.

Where a wording leaves room, the published checker's reading is taken, so that numbers compare.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from synthtools.evaluate import ifeval_text as text
from synthtools.text.languages import language_of

_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def _compared(count: int, relation: str, bound: int) -> bool:
    """``less than`` or ``at least``.

    Raises:
        ValueError: another relation.
    """
    if relation == "less than":
        return count < bound
    if relation == "at least":
        return count >= bound
    raise ValueError(f'relation "{relation}" is neither "less than" nor "at least"')


def _occurrences(word: str, answer: str) -> int:
    return len(re.findall(re.escape(word), answer, re.IGNORECASE))


def _forbidden(answer: str, forbidden_words: list[str]) -> bool:
    return not any(
        re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in forbidden_words
    )


def _paragraphs(answer: str, num_paragraphs: int) -> bool:
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", answer)]
    return all(parts[1:-1]) and sum(map(bool, parts)) == num_paragraphs


def _first_word(answer: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    parts = [part.strip() for part in answer.split("\n\n")]
    # Empty ones count for the place but not for the number.
    number = sum(map(bool, parts))
    if number != num_paragraphs or nth_paragraph > number or not parts[nth_paragraph - 1]:
        return False
    word = parts[nth_paragraph - 1].split()[0].lstrip("'").lstrip('"')
    return re.split(r"[.,?!'\"]", word)[0].lower() == first_word.lower()


def _placeholders(answer: str, num_placeholders: int) -> bool:
    # An open bracket takes the rest of its line: none behind it on that line can be closed either.
    return sum(map(bool, re.findall(r"\[[^\]\n]*+(\]?)", answer))) >= num_placeholders


def _postscript(answer: str, postscript_marker: str) -> bool:
    marker = postscript_marker.strip()
    # With or without a blank between the letters.
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return bool(re.search(known.get(marker, re.escape(marker.lower())), answer.lower()))


def _bullets(answer: str, num_bullets: int) -> bool:
    stars = re.findall(r"^[^\S\n]*+\*[^*].*$", answer, re.MULTILINE)
    dashes = re.findall(r"^[^\S\n]*+-.*$", answer, re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


def _highlights(answer: str, num_highlights: int) -> bool:
    single = re.findall(r"\*([^\n*]*)\*", answer)
    double = re.findall(r"\*\*([^\n*]*)\*\*", answer)
    return sum(bool(inner.strip()) for inner in [*single, *double]) >= num_highlights


def _sections(answer: str, section_spliter: str, num_sections: int) -> bool:
    marks = re.findall(rf"\s?{re.escape(section_spliter.strip())}\s?\d+\s?", answer)
    return len(marks) >= num_sections


def _json(answer: str) -> bool:
    answer = answer.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        answer = answer.removeprefix(fence)
    try:
        json.loads(answer.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _title(answer: str) -> bool:
    for line in answer.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start < end - 2 and line[start:end].lstrip("<").rstrip(">").strip():
            return True
    return False


def _two_responses(answer: str) -> bool:
    parts = [part.strip() for part in answer.split("******")]
    responses = [part for part in parts if part]
    return all(parts[1:-1]) and len(responses) == 2 and responses[0] != responses[1]


def _quotation(answer: str) -> bool:
    answer = answer.strip()
    return len(answer) > 1 and answer[0] == answer[-1] == '"'


def _english(answer: str) -> bool:
    return language_of(answer) in ("en", None)


# Each a function of the answer and the instruction's own arguments, which come by name.
RULES: dict[str, Callable[..., bool]] = {
    "keywords:existence": lambda a, keywords: all(_occurrences(word, a) for word in keywords),
    "keywords:frequency": lambda a, keyword, frequency, relation: _compared(
        _occurrences(keyword.strip(), a), relation, frequency
    ),
    "keywords:forbidden_words": _forbidden,
    # The published checker puts a letter of chance in the place of #, ! and the like.
    "keywords:letter_frequency": lambda a, letter, let_frequency, let_relation: _compared(
        a.lower().count(letter.strip().lower()), let_relation, let_frequency
    ),
    "language:response_language": lambda a, language: language_of(a) in (language, None),
    "length_constraints:number_sentences": lambda a, num_sentences, relation: _compared(
        text.sentences(a), relation, num_sentences
    ),
    "length_constraints:number_words": lambda a, num_words, relation: _compared(
        text.words(a), relation, num_words
    ),
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": lambda a: any(option in a for option in _OPTIONS),
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": lambda a, prompt_to_repeat: (
        a.strip().lower().startswith(prompt_to_repeat.strip().lower())
    ),
    "startend:end_checker": lambda a, end_phrase: (
        a.strip().strip('"').lower().endswith(end_phrase.strip().lower())
    ),
    "startend:quotation": _quotation,
    "change_case:capital_word_frequency": lambda a, capital_frequency, capital_relation: _compared(
        text.capital_words(a), capital_relation, capital_frequency
    ),
    "change_case:english_capital": lambda a: a.isupper() and _english(a),
    "change_case:english_lowercase": lambda a: a.islower() and _english(a),
    "punctuation:no_comma": lambda a: "," not in a,
}


def loosened(answer: str) -> list[str]:
    """An answer, and what is left of it without its first line, its last, or both, and without the
    asterisks of each: the loose reading (section 2.2)."""
    lines = answer.split("\n")
    cut = [answer] + ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    return [*cut, *(part.replace("*", "") for part in cut)]


def followed(
    answer: str, instructions: list[str], arguments: list[dict[str, Any]], loose: bool = False
) -> list[bool]:
    """Which of its instructions an answer follows; an empty one follows none.

    Args:
        arguments: of each instruction, for its rule; those that are None are left out.
        loose: one of the ``loosened`` readings will do.

    Raises:
        KeyError: an unknown instruction; TypeError, ValueError: arguments that do not fit it.
    """
    readings = [one for one in (loosened(answer) if loose else [answer]) if one.strip()]
    verdicts = []
    for name, own in zip(instructions, arguments, strict=True):
        rule = RULES[name]
        known = {key: value for key, value in own.items() if value is not None}
        verdicts.append(any(rule(one, **known) for one in readings))
    return verdicts
