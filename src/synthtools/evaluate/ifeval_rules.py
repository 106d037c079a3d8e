"""The 25 verifiable instructions of IFEval (arXiv 2311.07911, table 1), each a function of the answer.

Where a wording leaves room, the published checker's reading is taken, so that numbers compare.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from synthtools.evaluate import ifeval_text as text

Rule = Callable[..., bool]
RULES: dict[str, Rule] = {}

_OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def _rule(name: str) -> Callable[[Rule], Rule]:
    def keep(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return keep


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


def _found(word: str, answer: str) -> list[str]:
    return re.findall(re.escape(word), answer, re.IGNORECASE)


@_rule("keywords:existence")
def _existence(answer: str, keywords: list[str]) -> bool:
    return all(_found(word, answer) for word in keywords)


@_rule("keywords:frequency")
def _frequency(answer: str, keyword: str, frequency: int, relation: str) -> bool:
    return _compared(len(_found(keyword.strip(), answer)), relation, frequency)


@_rule("keywords:forbidden_words")
def _forbidden(answer: str, forbidden_words: list[str]) -> bool:
    return not any(
        re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in forbidden_words
    )


@_rule("keywords:letter_frequency")
def _letter_frequency(answer: str, letter: str, let_frequency: int, let_relation: str) -> bool:
    # The published checker puts a letter of chance in the place of #, ! and the like.
    return _compared(answer.lower().count(letter.strip().lower()), let_relation, let_frequency)


@_rule("language:response_language")
def _language(answer: str, language: str) -> bool:
    return text.language(answer) in (language, None)


@_rule("length_constraints:number_sentences")
def _sentences(answer: str, num_sentences: int, relation: str) -> bool:
    return _compared(text.sentences(answer), relation, num_sentences)


@_rule("length_constraints:number_words")
def _words(answer: str, num_words: int, relation: str) -> bool:
    return _compared(text.words(answer), relation, num_words)


@_rule("length_constraints:number_paragraphs")
def _paragraphs(answer: str, num_paragraphs: int) -> bool:
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", answer)]
    return all(parts[1:-1]) and sum(map(bool, parts)) == num_paragraphs


@_rule("length_constraints:nth_paragraph_first_word")
def _first_word(answer: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    parts = [part.strip() for part in answer.split("\n\n")]
    # Empty ones count for the place but not for the number.
    number = sum(map(bool, parts))
    if number != num_paragraphs or nth_paragraph > number or not parts[nth_paragraph - 1]:
        return False
    word = parts[nth_paragraph - 1].split()[0].lstrip("'").lstrip('"')
    return re.split(r"[.,?!'\"]", word)[0].lower() == first_word.lower()


@_rule("detectable_content:number_placeholders")
def _placeholders(answer: str, num_placeholders: int) -> bool:
    # An open bracket takes the rest of its line: none behind it on that line can be closed either.
    return sum(map(bool, re.findall(r"\[[^\]\n]*+(\]?)", answer))) >= num_placeholders


@_rule("detectable_content:postscript")
def _postscript(answer: str, postscript_marker: str) -> bool:
    marker = postscript_marker.strip()
    # With or without a blank between the letters.
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return bool(re.search(known.get(marker, re.escape(marker.lower())), answer.lower()))


@_rule("detectable_format:number_bullet_lists")
def _bullets(answer: str, num_bullets: int) -> bool:
    stars = re.findall(r"^[^\S\n]*+\*[^*].*$", answer, re.MULTILINE)
    dashes = re.findall(r"^[^\S\n]*+-.*$", answer, re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


@_rule("detectable_format:constrained_response")
def _constrained(answer: str) -> bool:
    return any(option in answer for option in _OPTIONS)


@_rule("detectable_format:number_highlighted_sections")
def _highlights(answer: str, num_highlights: int) -> bool:
    single = re.findall(r"\*([^\n*]*)\*", answer)
    double = re.findall(r"\*\*([^\n*]*)\*\*", answer)
    return sum(bool(inner.strip()) for inner in [*single, *double]) >= num_highlights


@_rule("detectable_format:multiple_sections")
def _sections(answer: str, section_spliter: str, num_sections: int) -> bool:
    marks = re.findall(rf"\s?{re.escape(section_spliter.strip())}\s?\d+\s?", answer)
    return len(marks) >= num_sections


@_rule("detectable_format:json_format")
def _json(answer: str) -> bool:
    answer = answer.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        answer = answer.removeprefix(fence)
    try:
        json.loads(answer.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


@_rule("detectable_format:title")
def _title(answer: str) -> bool:
    for line in answer.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start < end - 2 and line[start:end].lstrip("<").rstrip(">").strip():
            return True
    return False


@_rule("combination:two_responses")
def _two_responses(answer: str) -> bool:
    parts = [part.strip() for part in answer.split("******")]
    if not all(parts[1:-1]):
        return False
    held = [part for part in parts if part]
    return len(held) == 2 and held[0] != held[1]


@_rule("combination:repeat_prompt")
def _repeat(answer: str, prompt_to_repeat: str) -> bool:
    return answer.strip().lower().startswith(prompt_to_repeat.strip().lower())


@_rule("startend:end_checker")
def _end(answer: str, end_phrase: str) -> bool:
    return answer.strip().strip('"').lower().endswith(end_phrase.strip().lower())


@_rule("startend:quotation")
def _quotation(answer: str) -> bool:
    answer = answer.strip()
    return len(answer) > 1 and answer[0] == answer[-1] == '"'


@_rule("change_case:capital_word_frequency")
def _capital_words(answer: str, capital_frequency: int, capital_relation: str) -> bool:
    return _compared(text.capital_words(answer), capital_relation, capital_frequency)


@_rule("change_case:english_capital")
def _capital(answer: str) -> bool:
    return answer.isupper() and text.language(answer) in ("en", None)


@_rule("change_case:english_lowercase")
def _lowercase(answer: str) -> bool:
    return answer.islower() and text.language(answer) in ("en", None)


@_rule("punctuation:no_comma")
def _no_comma(answer: str) -> bool:
    return "," not in answer


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
