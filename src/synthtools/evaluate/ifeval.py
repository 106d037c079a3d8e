"""IFEval (arXiv 2311.07911): 25 verifiable instructions (table 1), each checked by a function of the answer.

Ambiguous wordings are read as in the published checker, so that results are comparable. It counts with NLTK (Punkt for
sentences) and langdetect; here, sentences and words are counted by rules that agree with those on English text, and
languages are detected by ``text.languages``.

An answer follows an instruction strictly as it is, or loosely if one of its eight variants does. The figures for
both: the share of prompts with all instructions followed, and the share of instructions followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from synthtools.evaluate import answers
from synthtools.evaluate.answer_suite import ItemSamples, SuiteData, evaluated
from synthtools.evaluate.estimates import Ratios
from synthtools.evaluate.evaluator import Evaluator
from synthtools.text.languages import language_of

# A period after these does not end a sentence, unless a word follows that often begins one.
_ABBREVIATIONS_TEXT = (
    "mr mrs ms messrs dr prof sr jr st gen col maj lt adm sen rep reps "
    "jan feb aug sep sept oct nov dec tues wed fri "
    "inc ltd co cos corp bros cie "
    "ala ariz calif colo conn fla ga ill kan ky mich minn nev okla ore pa tenn va vt wash wis "
    "ave ft yr vs mg chg "
)
_ABBREVIATIONS = frozenset(_ABBREVIATIONS_TEXT.split())
# Letters with periods between them (U.S, p.m, Ph.D); Punkt's English model does not know e.g. and i.e.
_LETTERS = re.compile(r"(?:[a-z]\.)+[a-z]|ph\.d")
_STARTERS_TEXT = (
    "the a an in on at for from with by as and but or so if when while after before since because "
    "although however moreover meanwhile then thus still yet also some most many each both several "
    "he she it we they you i his her its our their your my this that these those there here "
    "what who why how where which no not one even such under among despite "
)
_STARTERS = frozenset(_STARTERS_TEXT.split())
_CLOSING = re.compile(r"[\"')\]}]*")
_STOP = re.compile(r"[.?!]+")
# Characters inspected around a period; no common first word, abbreviation or number is longer [ours].
_LONGEST = 200
_NEXT = re.compile(rf"[\s\"'(\[{{“‘*_]*+(\S{{1,{_LONGEST}}})")
_OPENING = frozenset(";:@*({[")


def sentences(text: str) -> int:
    """The number of sentences. A sentence ends with ``.``, ``?`` or ``!`` before white space, a closing mark or an
    opening one. A period does not end it after an abbreviation, an initial or an ellipsis unless a common first
    word follows, within a number, or between a number and a lower-case letter."""
    text = text.rstrip()
    if not text:
        return 0
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
    spelled = _LETTERS.fullmatch(word) and word not in ("e.g", "i.e")
    return starter if known or spelled else True


def words(text: str) -> int:
    """The number of words: runs of letters, digits and underscores."""
    return len(re.findall(r"\w+", text))


_BETWEEN = re.compile(r"[\s\"“”‘’«»„`;@#$%&?!*\[\](){}<>\u2012-\u2015]+|--|\.{2,}|[:,](?!\d)")
_CLITIC = re.compile(r"(?<=.)(?:'[SMD]|'LL|'RE|'VE|N'T)$")
_JOINED = frozenset(("CANNOT", "GIMME", "GONNA", "GOTTA", "LEMME", "WANNA"))


def capital_words(text: str) -> int:
    """The number of words with a capital and no lower-case letter, tokenised as in the Penn Treebank: ``DON'T``
    and ``CANNOT`` are two, ``A-B`` is one."""
    count = 0
    for word in _BETWEEN.split(text):
        if word.isupper():
            count += 1 + bool(_CLITIC.search(word)) + (word.strip(".'") in _JOINED)
        else:
            # NASA's: the part before the clitic is a separate word.
            bare = re.sub(r"'(?:s|m|d|ll|re|ve)$", "", word)
            count += bare != word and bare.isupper()
    return count


def _compared(count: int, relation: str, bound: int) -> bool:
    """``less than`` or ``at least``. Raises ValueError: another relation."""
    if relation not in ("less than", "at least"):
        raise ValueError(f'relation "{relation}" is neither "less than" nor "at least"')
    return count < bound if relation == "less than" else count >= bound


def _occurrences(word: str, answer: str) -> int:
    return len(re.findall(re.escape(word), answer, re.IGNORECASE))


def _paragraphs(answer: str, num_paragraphs: int) -> bool:
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", answer)]
    return all(parts[1:-1]) and sum(map(bool, parts)) == num_paragraphs


def _first_word(answer: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    parts = [part.strip() for part in answer.split("\n\n")]
    # Empty ones count for the position but not for the number.
    number = sum(map(bool, parts))
    if number != num_paragraphs or nth_paragraph > number or not parts[nth_paragraph - 1]:
        return False
    word = parts[nth_paragraph - 1].split()[0].lstrip("'").lstrip('"')
    return re.split(r"[.,?!'\"]", word)[0].lower() == first_word.lower()


def _placeholders(answer: str, num_placeholders: int) -> bool:
    # An unclosed bracket takes the rest of its line, so that the search is linear.
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
    responses = list(filter(None, parts))
    return all(parts[1:-1]) and len(responses) == len(set(responses)) == 2


def _english(answer: str) -> bool:
    return language_of(answer) in ("en", None)


# Each is a function of the answer and of the instruction's arguments, passed by name.
RULES: dict[str, Callable[..., bool]] = {
    "keywords:existence": lambda a, keywords: all(_occurrences(word, a) for word in keywords),
    "keywords:frequency": lambda a, keyword, frequency, relation: _compared(
        _occurrences(keyword.strip(), a), relation, frequency
    ),
    "keywords:forbidden_words": lambda a, forbidden_words: (
        not any(re.search(rf"\b{re.escape(word)}\b", a, re.IGNORECASE) for word in forbidden_words)
    ),
    # The published checker replaces #, ! and the like by a random letter.
    "keywords:letter_frequency": lambda a, letter, let_frequency, let_relation: _compared(
        a.lower().count(letter.strip().lower()), let_relation, let_frequency
    ),
    "language:response_language": lambda a, language: language_of(a) in (language, None),
    "length_constraints:number_sentences": lambda a, num_sentences, relation: _compared(
        sentences(a), relation, num_sentences
    ),
    "length_constraints:number_words": lambda a, num_words, relation: _compared(
        words(a), relation, num_words
    ),
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": lambda a: any(
        f"My answer is {option}." in a for option in ("yes", "no", "maybe")
    ),
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": lambda a, section_spliter, num_sections: (
        len(re.findall(rf"\s?{re.escape(section_spliter.strip())}\s?\d+\s?", a)) >= num_sections
    ),
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": lambda a, prompt_to_repeat: (
        a.strip().lower().startswith(prompt_to_repeat.strip().lower())
    ),
    "startend:end_checker": lambda a, end_phrase: (
        a.strip().strip('"').lower().endswith(end_phrase.strip().lower())
    ),
    "startend:quotation": lambda a: len(a.strip()) > 1 and a.strip()[0] == a.strip()[-1] == '"',
    "change_case:capital_word_frequency": lambda a, capital_frequency, capital_relation: _compared(
        capital_words(a), capital_relation, capital_frequency
    ),
    "change_case:english_capital": lambda a: a.isupper() and _english(a),
    "change_case:english_lowercase": lambda a: a.islower() and _english(a),
    "punctuation:no_comma": lambda a: "," not in a,
}


def loosened(answer: str) -> list[str]:
    """The variants of the loose reading (section 2.2): the answer, without its first line, its last, or both, each
    with and without asterisks."""
    lines = answer.split("\n")
    cut = [answer] + ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    return [*cut, *(part.replace("*", "") for part in cut)]


def followed(
    answer: str, instructions: list[str], arguments: list[dict[str, Any]], loose: bool = False
) -> list[bool]:
    """Which of its instructions an answer follows; an empty one follows none.

    Args:
        arguments: of the rule of each instruction; None values are left out.
        loose: one of the ``loosened`` variants suffices.

    Raises:
        KeyError: an unknown instruction; TypeError, ValueError: its arguments are wrong.
    """
    readings = [one for one in (loosened(answer) if loose else [answer]) if one.strip()]
    verdicts = []
    for name, own in zip(instructions, arguments, strict=True):
        known = {key: value for key, value in own.items() if value is not None}
        verdicts.append(any(RULES[name](one, **known) for one in readings))
    return verdicts


READINGS = ("strict", "loose")
FIGURES = [f"{level}_{reading}" for level in ("prompt", "instruction") for reading in READINGS]


def fault(record: dict[str, Any]) -> str | None:
    """Why a record cannot be a prompt."""
    names: Any = record.get("instruction_id_list")
    arguments: Any = record.get("kwargs")
    if not isinstance(record.get("prompt"), str):
        return 'no text in the field "prompt"'
    lists = isinstance(names, list) and isinstance(arguments, list)
    if not lists or len(names) != len(arguments):
        return 'fields "instruction_id_list" and "kwargs" must be lists of one length'
    if unknown := [name for name in names if name not in RULES]:
        return f"unknown instruction {unknown[0]!r}"
    if not names or not all(isinstance(one, dict) for one in arguments):
        return 'fields "instruction_id_list" and "kwargs" must hold names and objects'
    try:
        followed("An answer.", names, arguments)
    except (TypeError, ValueError, AttributeError) as error:
        reason = str(error).partition("() ")[2] or str(error)  # without our function's name
        return f"arguments that do not fit their instruction: {reason}"
    return None


DATA = SuiteData("ifeval", ("ifeval",), ("all", "test", "train", "input_data"), fault)
files, items = DATA.files, DATA.items


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Checks the answers.

    Returns:
        The section: strict and loose accuracies, of prompts and of instructions; ``models``, each with
        its figures and the accuracy of each kind of instruction (``kinds``); ``dropped``: prompts that
        not all models answered.
    """
    prompts = list(DATA.records(evaluator))
    questions = [answers.Item(str(p["id"]), (p["prompt"],), p.get("key")) for p in prompts]
    models = answers.of_models(evaluator, name, questions)

    def samples_of(model: answers.ModelAnswers) -> list[ItemSamples]:
        return [
            [] if turns is None else [_sample(model.model, prompt, turns[0])]
            for prompt, turns in zip(prompts, model.turns, strict=True)
        ]

    def estimate(model: answers.ModelAnswers, samples: dict[int, ItemSamples]) -> dict[str, Any]:
        ratios, kinds = Ratios(), {reading: Ratios() for reading in READINGS}
        for place, (row,) in samples.items():
            for reading in READINGS:
                verdicts = row[reading]
                ratios.add(f"prompt_{reading}", place, all(verdicts))
                ratios.add(f"instruction_{reading}", place, sum(verdicts), len(verdicts))
                for kind, verdict in zip(row["instructions"], verdicts, strict=True):
                    kinds[reading].add(kind, place, verdict)
        names = sorted(RULES)
        by_kind = {reading: kinds[reading].values(names) for reading in READINGS}
        return model.account() | {
            **ratios.estimate(FIGURES, evaluator.options, name),
            "kinds": [
                {"kind": kind, **{reading: by_kind[reading][kind] for reading in READINGS}}
                for kind in names
                if by_kind["strict"][kind] is not None
            ],
        }

    per_item = {figure: figure for figure in FIGURES}
    return evaluated(name, evaluator, models, samples_of, estimate, per_item)


def _sample(model: str, prompt: dict[str, Any], answer: str) -> dict[str, Any]:
    row: dict[str, Any] = {"id": str(prompt["id"]), "model": model, "dropped": False}
    names, arguments = prompt["instruction_id_list"], prompt["kwargs"]
    for reading in READINGS:
        verdicts = followed(answer, names, arguments, loose=reading == "loose")
        row |= {reading: verdicts, f"prompt_{reading}": int(all(verdicts))}
        row[f"instruction_{reading}"] = sum(verdicts) / len(verdicts)
    return row | {"instructions": names, "response": answer}
