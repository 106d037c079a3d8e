"""Rules for answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from synthtools.curate.conditions import condition_of
from synthtools.curate.text_classifier import TextClassifier
from synthtools.errors import SynthError
from synthtools.lm.generation import Answer, Prompt
from synthtools.records.jsonl import number_in, parse_value
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.words import word_counts

# A score for each answer, None if it has none.
Score = Callable[[Sequence[Prompt], Sequence[Answer]], Sequence[float | None]]


def as_buffer(answers: Sequence[Answer]) -> TextBuffer:
    """The texts of answers; an unpaired surrogate counts as one character."""
    return TextBuffer.of([one.text.encode("utf-8", "replace").decode() for one in answers])


LENGTHS: dict[str, Score] = {
    "words": lambda prompts, answers: word_counts(as_buffer(answers)).tolist(),
    "characters": lambda prompts, answers: [len(answer.text) for answer in answers],
    "tokens": lambda prompts, answers: [answer.tokens for answer in answers],
}


def probability_by(classifier: TextClassifier) -> Score:
    """The probability of a classifier's first class."""
    return lambda prompts, answers: classifier.probabilities(as_buffer(answers))[:, 0].tolist()


# Characters of a refused answer shown in the reason.
_SHOWN = 60
# Scores from a model or a file, supplied by the caller.
MODEL_SCORES = ("judge", "perplexity", "probability")


class ScoreRange(NamedTuple):
    """Bounds of a score; None for no bound."""

    score: str
    least: float | None
    most: float | None

    def fault(self, value: float | None) -> str | None:
        """Why a score is not within the bounds; None if it is."""
        by_model = self.score in MODEL_SCORES
        if value is None:
            return f"no {self.score}" if by_model else f"no number of {self.score}"
        low = self.least is not None and value < self.least
        if not (low or (self.most is not None and value > self.most)):
            return None
        return f"{self.score} {value:.4g}" if by_model else f"{value:,} {self.score}"


class Validator(NamedTuple):
    """A check of answers: by their text, or by a score.

    Attributes:
        text: as given; shown: with the content of its file.
        fault: why a text is refused, None if it is accepted.
    """

    text: str
    shown: str
    fault: Callable[[str], str | None] | None = None
    within: ScoreRange | None = None

    def __str__(self) -> str:
        return self.text

    def faults(
        self, prompts: Sequence[Prompt], answers: Sequence[Answer], scores: Mapping[str, Score]
    ) -> list[str | None]:
        """Why each answer is refused, None if it is accepted."""
        if self.within is not None:
            values = scores[self.within.score](prompts, answers)
            return [self.within.fault(value) for value in values]
        assert self.fault is not None
        return [self.fault(answer.text) for answer in answers]


def validator_of(text: str) -> Validator:
    """``words=MIN..MAX`` (or another score; either end is optional), ``regex=REGEX``: an expression of RE2 that must
    occur in the answer, ``!regex=REGEX``: one that must not, ``json``, ``schema=FILE``: a JSON schema, or
    ``language=CODE,…``.

    Raises:
        ValueError: the form is invalid.
        SynthError: a required file or package is missing.
    """
    kind, equals, value = text.partition("=")
    if equals and kind in (*LENGTHS, *MODEL_SCORES):
        return Validator(text, text, within=ScoreRange(kind, *_range(value, kind in LENGTHS)))
    if equals and kind in ("regex", "!regex"):
        return Validator(text, text, _expression(kind, value))
    if text == "json":
        return Validator(text, text, lambda answer: _json_in(answer)[1])
    if equals and kind == "schema":
        try:
            schema = Path(value).read_text(encoding="utf-8")
        except OSError as error:
            raise SynthError(f"{value}: cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise SynthError(f"{value}: not UTF-8 at byte {error.start}") from error
        return Validator(text, f"{text} {schema}", _schema(value, schema))
    if equals and kind == "language":
        return Validator(text, text, _languages(value))
    ranges = ", ".join(f"{name}=MIN..MAX" for name in (*LENGTHS, *MODEL_SCORES))
    raise ValueError(
        f"use {ranges}, regex=REGEX, !regex=REGEX, json, schema=FILE or language=CODE,…"
    )


def _range(value: str, whole: bool) -> tuple[float | None, float | None]:
    least, dots, most = value.partition("..")
    ends = [end.strip() for end in (least, most)]
    first, last = (number_in(end) if end else None for end in ends)
    good = [end.isdecimal() if whole else number_in(end) is not None for end in ends if end]
    if not dots or not good or not all(good):
        raise ValueError("write a range as 20..200, 20.. or ..200")
    if first is not None and last is not None and last < first:
        raise ValueError(f"{first} is more than {last}")
    return first, last


def _expression(kind: str, value: str) -> Callable[[str], str | None]:
    matches = condition_of(f"response{'!' * kind.startswith('!')}~{value}").holds
    return lambda answer: None if matches([answer])[0] else _cut(repr(answer[: _SHOWN + 1]))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN + 2 else f"{text[:_SHOWN]}…"


def _json_in(answer: str) -> tuple[Any, str | None]:
    """The JSON value of an answer, and why there is none."""

    def no_number(name: str) -> None:
        raise ValueError(f"{name}, which is not in JSON")

    try:
        return json.loads(answer, parse_constant=no_number), None
    except json.JSONDecodeError as error:
        return None, f"not JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1}"
    except RecursionError:
        return None, "not JSON: nested too deeply"
    except ValueError as error:  # NaN, or an integer with more digits than Python converts
        return None, f"not JSON: {str(error).split(';')[0]}"


def _schema(file: str, text: str) -> Callable[[str], str | None]:
    try:
        from jsonschema import SchemaError, validators
        from referencing import Registry
        from referencing.exceptions import Unresolvable
    except ImportError as error:
        raise SynthError(
            f"schema={file}: needs jsonschema: pip install 'synthtools[validate]'"
        ) from error
    try:
        schema = parse_value(text.encode())
        kind = validators.validator_for(schema, validators.Draft202012Validator)
        kind.check_schema(schema)
    except (ValueError, TypeError) as error:
        raise SynthError(f"{file}: {error}") from error
    except SchemaError as error:
        raise SynthError(
            f"{file}: not a JSON schema: {error.json_path}: {error.message}"
        ) from error
    # An empty registry, so that references in the schema are not fetched.
    checked = kind(schema, registry=Registry())

    def fault(answer: str) -> str | None:
        value, reason = _json_in(answer)
        if reason is not None:
            return reason
        try:
            error = next(checked.iter_errors(value), None)
        except Unresolvable as unknown:
            raise SynthError(
                f"{file}: refers to a schema that is not in it ({unknown.ref})"
            ) from unknown
        except RecursionError:
            return "nested too deeply for the schema"
        return None if error is None else f"{error.json_path}: {_cut(error.message)}"

    return fault


def _languages(value: str) -> Callable[[str], str | None]:
    from synthtools.text.languages import language_of, languages

    allowed = {code.strip().lower() for code in value.split(",")}
    known = languages()
    for code in allowed:
        if code not in {one.partition("-")[0] for one in known} | set(known):
            raise ValueError(f'unknown language "{code}"; known: {", ".join(sorted(known))}')

    def fault(answer: str) -> str | None:
        language = language_of(answer)
        if language is None:
            return "language not recognized"
        return None if allowed & {language, language.partition("-")[0]} else language

    return fault
