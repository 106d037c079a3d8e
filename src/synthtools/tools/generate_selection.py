"""The options of ``synth generate`` about which answers are taken: rules, scores, the best of several, none twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from synthtools.cli import quantities
from synthtools.cli.kinds import FileContent, Jaccard, ModelId, Natural, Url
from synthtools.cli.model_options import JudgeReplies
from synthtools.cli.options import Inputs, Json, Output, Seed, Workers
from synthtools.cli.parameters import Group, option
from synthtools.errors import UsageError
from synthtools.tools.generate_options import Costs, Generators, Protocols

if TYPE_CHECKING:
    from synthtools.curate.batch_files import BatchModel
    from synthtools.curate.text_fingerprints import DistinctTexts
    from synthtools.curate.validators import Validator


def _validator(text: str) -> Validator:
    from synthtools.curate.validators import validator_of

    return validator_of(text)


_SCORES = ("judge", "perplexity", "probability", "words", "characters", "tokens")


class BestScore(NamedTuple):
    """The score by which the best answer is chosen, and whether the lowest is the best."""

    name: str
    lowest: bool


def _best(text: str) -> BestScore:
    """Raises ValueError where it names no score."""
    way, colon, name = text.rpartition(":")
    if name not in _SCORES or way not in (("min", "max") if colon else ("",)):
        raise ValueError(f"use {', '.join(_SCORES)}, or min: or max: before one of them")
    return BestScore(name, way == "min" or (not way and name == "perplexity"))


def _known(name: str) -> str:
    return quantities.NamedContent(name) if _is_index(name) else name  # records are inputs


def _is_index(name: str) -> bool:
    from synthtools.records.remote_paths import path_of

    return (path_of(name) / "index.json").exists()


@dataclass(frozen=True)
class ValidatedAnswers(Group):
    """Which answers are taken."""

    group = "Options"
    validate: list[Any] | None = option(
        metavar="RULE",
        parse=_validator,
        help="Accept only answers that pass: words=MIN..MAX, characters=MIN..MAX, tokens=MIN..MAX (20.. and "
        "..200 too), regex=REGEX (RE2, found in the answer), !regex=REGEX, json (the answer is JSON alone), "
        "schema=FILE (JSON that a JSON schema accepts), language=CODE,… (by langdetect; both need "
        "[validate]), or a range of a score: judge=7.., perplexity=..50, probability=0.9... Repeatable; all must "
        "hold, checked in order. A prompt whose answers are all refused is a bad record, with the rule and the "
        "value that failed it.",
    )
    retries: Natural | None = option(
        max=100,
        help="How often to draw a refused answer again (default 2), with new random numbers each time.",
    )


@dataclass(frozen=True)
class BestAnswers(Group):
    """How answers are scored, chosen and compared."""

    group = "Options"
    best_of: int | None = option(
        metavar="N",
        min=2,
        max=1000,
        help="Draw N answers to each prompt and keep the best of those that pass, by --score (the first of "
        "equal ones). Adds generate_score; the others are counted.",
    )
    score: Any = option(
        metavar="[min:|max:]SCORE",
        parse=_best,
        help="The score of --best-of: judge, probability, words, characters, tokens (highest is best), or "
        "perplexity (lowest is best); min: or max: before it changes that.",
    )
    judge: ModelId | None = option(
        help="The model of the score judge, a rating from 1 to 10 with the prompt of synth eval's MT-Bench. It is "
        "loaded beside the answering model with the same settings, or is on --judge-server. --budget does not "
        "count it."
    )
    judge_server: Url | None = option(help="An OpenAI-compatible server for the judge.")
    score_model: ModelId | None = option(
        help="The model of the score perplexity (default builtin), which is that of the answer alone, as from "
        "synth ppl --text-field response."
    )
    classifier: FileContent | None = option(
        help="The classifier of the score probability (of its first class), saved by synth classify."
    )
    distinct: Literal["exact", "near"] | None = option(
        help="Refuse an answer that repeats an earlier one (in the order of the prompts) or a text of --against: "
        "equal texts, or near-duplicates as in synth dedup. Since it compares all answers, it does not go with "
        "--shard, and a directory cannot be resumed; a FILE can."
    )
    similarity: Jaccard | None = option(
        help="Minimum Jaccard index of near-duplicates (default 0.8)."
    )
    against: list[str] | None = option(
        metavar="PATH",
        parse=_known,
        help="Records whose answers (otherwise texts) no answer may repeat (--distinct), or an index of synth "
        "dedup. Repeatable.",
    )

    def files_against(self) -> list[str]:
        """The records of ``against``; the others are indexes."""
        return [name for name in self.against or () if not _is_index(name)]

    def known_texts(self) -> DistinctTexts | None:
        """What answers may not repeat, of indexes so far; None where they may repeat anything."""
        from synthtools.curate.text_fingerprints import DistinctTexts

        if self.distinct is None:
            return None
        known = DistinctTexts((self.similarity or 0.8) if self.distinct == "near" else None)
        for name in filter(_is_index, self.against or ()):
            known.add_index(name)
        return known


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(
    BestAnswers,
    JudgeReplies,
    ValidatedAnswers,
    Costs,
    Protocols,
    Generators,
    Seed,
    Inputs,
    Output,
    Json,
    Workers,
):
    """All options of ``synth generate``."""

    def prints_report(self) -> bool:
        return self.dry_run or self.batch_out is not None

    def takes_output(self) -> bool:
        return self.batch_out is None  # a dry run takes what it would write

    def batch_model(self) -> BatchModel:
        """Who answers a batch."""
        from synthtools.curate.batch_files import BatchModel

        return BatchModel(self.names()[0], self.sampling(), self.seed)

    def selecting(self) -> str | None:
        """The option by which answers are selected, None where all are taken."""
        given = {
            "--distinct": self.distinct,
            "--best-of": self.best_of,
            "--validate": self.validate,
        }
        return next((name for name, value in given.items() if value), None)

    def scores_asked(self) -> set[str]:
        """The scores that rules and the choice ask for."""
        rules = {rule.within.score for rule in self.validate or () if rule.within is not None}
        return rules | ({self.score.name} if self.score else set())

    def draws_after_the_first(self) -> int:
        """How often a refused answer is drawn again."""
        if self.batch_in:
            return 0
        return 2 if self.retries is None else self.retries

    def check(self) -> None:
        super().check()
        self._check_files()
        if self.budget and self.budget.unit == "cost" and not (self.price_in or self.price_out):
            raise UsageError("--budget cost=X needs --price-in or --price-out")
        self._check_draws()
        self._check_scores()

    def _check_files(self) -> None:
        """Batches of requests and of answers."""
        named = "--batch-out" if self.batch_out else "--batch-in" if self.batch_in else None
        if named is None:
            return
        if self.batch_out and self.batch_in:
            raise UsageError("--batch-out writes requests, --batch-in reads results: one at a time")
        if len(self.model or ()) != 1:
            raise UsageError(f"{named} needs one --model, by the provider's name")
        if self.protocol in ("rationale", "self-instruct"):
            raise UsageError(f"{named}: {self.protocol} asks again after the first answers")
        for other in ("server", "cache", "ray", "dry_run", "budget", "resume"):
            if getattr(self, other, None):
                raise UsageError(f"{named} does not go with --{other.replace('_', '-')}")

    def _check_draws(self) -> None:
        """Answers that are drawn again."""
        named = self.selecting()
        if named is None:
            if self.retries is not None:
                raise UsageError(
                    "--retries draws again what is refused: give --validate or --distinct"
                )
            return
        if self.protocol in ("rationale", "self-instruct"):
            raise UsageError(f"{named}: {self.protocol} has checks of its own")
        if self.dry_run:
            raise UsageError(f"--dry-run cannot tell how often {named} draws again")
        if self.batch_in and self.retries:
            raise UsageError("--batch-in has one answer a prompt: --retries needs a model to ask")
        if self.retries != 0 and self.temperature == 0 and not self.batch_in:
            raise UsageError(
                f"--temperature 0 draws the same answer again: {named} needs --retries 0 with it"
            )

    def _check_scores(self) -> None:
        """Scores, the best of several answers, and what none may repeat."""
        asked = self.scores_asked()
        for name, given in (("judge", self.judge), ("probability", self.classifier)):
            if (given is not None) != (name in asked):
                option = "--judge MODEL" if name == "judge" else "--classifier FILE"
                raise UsageError(f"{option} and the score {name} (--validate, --score) go together")
        if self.score_model and "perplexity" not in asked:
            raise UsageError("--score-model goes with the score perplexity (--validate, --score)")
        if self.judge_guided and not self.judge:
            raise UsageError("--judge-guided needs --judge MODEL")
        if self.judge_server and not self.judge:
            raise UsageError("--judge-server needs --judge NAME, the model that it serves")
        if (self.best_of is None) != (self.score is None):
            raise UsageError("--best-of N and --score go together")
        if self.distinct is None and self.against:
            raise UsageError("--against is what answers are compared with: give --distinct")
        if self.similarity is not None and self.distinct != "near":
            raise UsageError("--similarity goes with --distinct near")
        if self.best_of and (self.batch_in or self.batch_out):
            raise UsageError("a batch has one answer a prompt: it does not go with --best-of")
        if self.best_of and self.temperature == 0:
            raise UsageError("--temperature 0 draws the same answer again: --best-of has no choice")
