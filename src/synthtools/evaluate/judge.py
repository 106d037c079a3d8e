"""A judge: a model that is asked for verdicts, all of which are accounted for.

A text under judgement cannot pose as an instruction: it is enclosed in tags with a code of six letters, drawn
for each question from (seed, question) and absent from its texts; only a verdict after that code counts. Ratings or
orders inside a text are not changed.

If a reply has no verdict, the question is repeated with another code and a reminder, so that a deterministic judge
can reply differently, too [ours]. If the engine supports constrained generation, the last reply is constrained to the
verdict. Questions without a verdict after that are unreadable; those without a reply (too long for the judge,
refused by its server) have failed. Both are counted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from synthtools.errors import SynthError
from synthtools.evaluate.judge_prompts import AGAIN, ALONE, JudgePrompt

if TYPE_CHECKING:
    from synthtools.lm.generation import Answer, Generator, Prompt, SamplingSettings

# Without vowels there are no words, without I, O and the like no misreadings.
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_CODE_LENGTH = 6


@dataclass(frozen=True)
class VerdictForm:
    """How verdicts of one kind are parsed, constrained and averaged.

    Attributes:
        read: the line after the code, without markup → the verdict; None if it is not one.
        regex: of a verdict alone.
        numbers: a verdict → its numbers; of_numbers: the means of several judges' numbers → the verdict.
    """

    read: Callable[[str], Any]
    regex: str
    numbers: Callable[[Any], list[float]]
    of_numbers: Callable[[list[float]], Any]


@dataclass
class FailureCounts:
    """Counts of reasons for failure; reasons that differ only in numbers are counted as the first of them."""

    _kinds: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, reason: str) -> None:
        """Counts a reason."""
        kind = re.sub(r"\d[\d,.]*", "#", reason)
        first, count = self._kinds.get(kind, (reason, 0))
        self._kinds[kind] = first, count + 1

    def total(self) -> int:
        """The number of failures."""
        return sum(count for _, count in self._kinds.values())

    def table(self) -> dict[str, int]:
        """Reasons and counts, the most frequent first."""
        return dict(sorted(self._kinds.values(), key=lambda pair: -pair[1]))


def ask(
    generator: Generator, prompts: Sequence[Prompt], on_failure: Callable[[str], None]
) -> list[Answer]:
    """Answers in the order of the prompts; failed ones have an ``error``.

    If the engine fails, the answers so far are kept, the others have its error, and ``on_failure`` is called
    with it.
    """
    from synthtools.lm.generation import failed

    answered: dict[int, Answer] = {}
    try:
        for place, answer in enumerate(generator.generate(prompts, answered.__setitem__)):
            answered[place] = answer
    except SynthError as error:
        on_failure(f"{generator.name}: {error}")
        gone = failed(str(error))
        return [answered.get(place, gone) for place in range(len(prompts))]
    return [answered[place] for place in range(len(prompts))]


class Question(NamedTuple):
    """A question to a judge.

    Attributes:
        key: identity, from which its code is drawn.
        parts: values of the prompt's placeholders: the texts under judgement, and numbers.
        form: of its verdict.
    """

    key: str
    prompt: JudgePrompt
    parts: Mapping[str, str]
    form: VerdictForm


class Verdict(NamedTuple):
    """A judge's verdict.

    Attributes:
        value: None if there is none, for the reason in ``problem``.
        reply: the last one; tries: how often the judge was asked.
        asked: the last wording of the question; prompt: its name and version.
        votes: the verdicts of a panel's judges; ``value`` is None if any is missing.
    """

    value: Any
    reply: str
    tries: int
    problem: str | None
    asked: str
    prompt: str
    votes: tuple[Verdict, ...] = ()


def code_of(seed: int, key: str, attempt: int, texts: Sequence[str]) -> str:
    """Six letters that do not occur in the texts, in either case."""
    taken = "\n".join(texts).upper()
    salt = (seed % (1 << 64)).to_bytes(8, "little")
    for number in range(1 << 20):
        name = f"{key}\0{attempt}\0{number}".encode("utf-8", "surrogatepass")
        value = int.from_bytes(hashlib.blake2b(name, digest_size=8, salt=salt).digest(), "little")
        code = ""
        for _ in range(_CODE_LENGTH):
            value, letter = divmod(value, len(_LETTERS))
            code += _LETTERS[letter]
        if code not in taken:
            return code
    raise AssertionError("no code is free")  # the texts would have to contain a million of them


def filled(question: Question, code: str, again: bool, alone: bool = False) -> str:
    """The wording of a question; ``alone``: asks for the verdict without reasons."""
    texts = question.prompt.texts

    def put(match: re.Match[str]) -> str:
        name = match[1]
        if name == "code":
            return code
        part = question.parts[name]
        return f"<{code} {name}>\n{part}\n</{code} {name}>" if name in texts else part

    # In one pass, so that braces inside a text are not filled.
    words = re.sub(r"\{([^{}]+)\}", put, question.prompt.words)
    more = ALONE if alone else AGAIN if again else ""
    return f"{words}\n\n{more.format(code=code)}" if more else words


def rating(low: int, high: int) -> VerdictForm:
    """A number from low to high, alone or out of ``high`` (7/10, 7 out of 10)."""

    def read(line: str) -> float | None:
        match = re.fullmatch(rf"([0-9]+(?:\.[0-9]+)?)(?:\s*(?:/|out of)\s*{high})?", line, re.I)
        value = float(match[1]) if match else None
        return value if value is not None and low <= value <= high else None

    whole = "|".join(str(number) for number in range(low, high + 1))
    return VerdictForm(read, f"({whole})", lambda value: [value], lambda means: means[0])


def yes_no(count: int) -> VerdictForm:
    """Exactly ``count`` times yes or no; for several judges, yes if more than half of them say so."""

    def read(line: str) -> list[bool] | None:
        words = [word.upper() for word in re.split(r"[\s,;.]+", line) if word]
        whole = len(words) == count and set(words) <= {"YES", "NO"}
        return [word == "YES" for word in words] if whole else None

    return VerdictForm(
        read,
        "(YES|NO)" + "(, (YES|NO))" * (count - 1),
        lambda flags: [float(flag) for flag in flags],
        lambda means: [mean > 0.5 for mean in means],
    )


_CHOICES = {"A": 1.0, "B": 0.0, "TIE": 0.5}
# A, B or TIE; for several judges, the majority's choice, ties aside.
CHOICE = VerdictForm(
    lambda line: line.upper() if line.upper() in _CHOICES else None,
    "(A|B|TIE)",
    lambda value: [_CHOICES[value]],
    lambda means: "A" if means[0] > 0.5 else "B" if means[0] < 0.5 else "TIE",
)


def verdict_of(reply: str, code: str, form: VerdictForm) -> Any:
    """The verdict of a reply: the rest of the line after the code, in the last line that starts with the code as
    requested, otherwise at the last occurrence. None if the rest is not exactly one verdict: "A is worse, so
    B" is neither A nor B, and a line that starts with one verdict and contains another is not one either."""
    parts = re.split(rf"{code}(?!\s+\w+\s*>)", reply, flags=re.IGNORECASE)
    begun: list[str] = []
    inside: list[str] = []
    for place, (before, behind) in enumerate(pairwise(parts), 2):
        line = next(filter(None, map(_bare, behind.splitlines())), None)
        if line is None:
            continue
        if _bare(before.rpartition("\n")[2]):
            inside.append(line)
        else:
            goes_on = place < len(parts) and "\n" not in behind
            begun.append(f"{line} {code}" if goes_on else line)
    lines = begun or inside
    return form.read(lines[-1]) if lines else None


def _bare(line: str) -> str:
    """A line without markup around its words; signs and decimal points of numbers are kept."""
    words = re.sub(r"[*_`\[\]()<>\"'“”‘’]", " ", line).split()
    return " ".join(words).lstrip(" :：=").rstrip(" .!。")


@dataclass
class Judge:
    """A judge and its account.

    Attributes:
        seed: of the codes.
        on_failure: called when the model becomes unavailable.
        guided: sampling settings for constraining the last reply to the form of a verdict; None: do not.
    """

    generator: Generator
    seed: int = 0
    retries: int = 2
    on_failure: Callable[[str], None] = lambda _: None
    guided: SamplingSettings | None = None
    _asked: int = 0
    _alone: int = 0
    _again: int = 0
    _unreadable: int = 0
    _failed: FailureCounts = field(default_factory=FailureCounts)
    _prompts: dict[str, int] = field(default_factory=dict)

    def ask(self, questions: Sequence[Question]) -> list[Verdict]:
        """Verdicts in the order of the questions."""
        from synthtools.lm.generation import Prompt

        verdicts: dict[int, Verdict] = {}
        left = list(range(len(questions)))
        self._asked += len(questions)
        self._prompts |= {one.prompt.name: one.prompt.version for one in questions}
        for attempt in range(self.retries + 1):
            alone = self.guided is not None and attempt == self.retries
            asked, prompts = [], []
            for place in left:
                question = questions[place]
                code = code_of(self.seed, question.key, attempt, list(question.parts.values()))
                words = filled(question, code, attempt > 0, alone)
                key = f"{question.key}\0{attempt}".encode("utf-8", "surrogatepass")
                prompts.append(Prompt(key, messages=({"role": "user", "content": words},)))
                asked.append((place, question, code, words))
            forms = [questions[place].form.regex if alone else None for place in left]
            unread, tries = [], attempt + 1
            replies = self._replies(prompts, forms)
            for (place, question, code, words), reply in zip(asked, replies, strict=True):
                if reply.error is not None and place in verdicts:
                    # The reminder made it too long, or the model failed: the earlier reply counts.
                    verdicts[place] = verdicts[place]._replace(tries=tries)
                    self._unreadable += 1
                    continue
                value, problem = None, reply.error
                if problem is not None:
                    self._failed.add(problem)
                else:
                    form = question.form
                    if alone:
                        value = form.read(_bare(reply.text))
                    else:
                        value = verdict_of(reply.text, code, form)
                    self._alone += alone and value is not None
                    if value is None:
                        problem = "no verdict in the reply"
                        unread.append(place)
                label = f"{question.prompt.name}-{question.prompt.version}{'-alone' * alone}"
                verdicts[place] = Verdict(value, reply.text, tries, problem, words, label)
            left = unread
            if not left:
                break
            self._again += len(left) if attempt < self.retries else 0
        self._unreadable += len(left)
        return [verdicts[place] for place in range(len(questions))]

    def _replies(self, prompts: list[Prompt], forms: list[str | None]) -> list[Answer]:
        """Answers, each constrained to its regular expression, if it has one."""
        replies: dict[int, Answer] = {}
        for form in dict.fromkeys(forms):
            if self.guided is not None:
                self.generator.sample_as(replace(self.guided, regex=form))
            places = [place for place, other in enumerate(forms) if other == form]
            some = ask(self.generator, [prompts[place] for place in places], self.on_failure)
            replies |= zip(places, some, strict=True)
        return [replies[place] for place in range(len(prompts))]

    @property
    def name(self) -> str:
        """The judge's model."""
        return self.generator.name

    def by_judge(self, verdicts: Sequence[Verdict]) -> dict[str, Sequence[Verdict]]:
        """Verdicts by judge."""
        return {self.name: verdicts}

    def account(self) -> dict[str, Any]:
        """The judge's part of the report: ``questions`` asked, of them ``unreadable`` after all ``retries``, and
        ``failed`` by reason; ``asked_again``: how often a question was repeated after an unreadable reply;
        ``alone``: verdicts from replies constrained to their form; ``prompts``: name and version."""
        return {
            "model": self.name,
            "description": self.generator.description,
            "questions": self._asked,
            "asked_again": self._again,
            "retries": self.retries,
            "alone": self._alone,
            "unreadable": self._unreadable,
            "failed": self._failed.total(),
            "reasons": self._failed.table(),
            "prompts": dict(self._prompts),
        }


def verdict_fields(verdict: Verdict) -> dict[str, Any]:
    """The fields of a sample about a verdict."""
    fields = {"judgment": verdict.reply, "tries": verdict.tries, "problem": verdict.problem}
    return fields | ({"votes": [vote.value for vote in verdict.votes]} if verdict.votes else {})
