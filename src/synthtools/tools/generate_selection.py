"""The options of ``synth generate`` about which answers are taken: rules, scores, the best of several, none twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from synthtools.cli import quantities
from synthtools.cli.kinds import FileContent, Jaccard, ModelId, Natural, Url
from synthtools.cli.model_options import JudgeReplies
from synthtools.cli.parameters import option
from synthtools.errors import SynthError, UsageError
from synthtools.tools.generate_costs import Costs

if TYPE_CHECKING:
    from synthtools.curate.text_classifier import TextClassifier
    from synthtools.curate.text_fingerprints import DistinctTexts
    from synthtools.curate.validators import Score, Validator
    from synthtools.evaluate.judge import Judge
    from synthtools.lm.generation import Answer, Prompt
    from synthtools.lm.kept_values import TalliedStore, ValueStore
    from synthtools.lm.scorer import LanguageModel
    from synthtools.lm.server.rate_limit import TrafficLimits


def _validator(text: str) -> Validator:
    from synthtools.curate.validators import validator_of

    return validator_of(text)


@dataclass(frozen=True)
class ValidatedAnswers(Costs):
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

    def check(self) -> None:
        super().check()
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

    def selecting(self) -> str | None:
        """What selects answers, None where all are taken."""
        return "--validate" if self.validate else None

    def scores_asked(self) -> set[str]:
        """The scores that rules ask for."""
        return {rule.within.score for rule in self.validate or () if rule.within is not None}

    def draws_after_the_first(self) -> int:
        """How often a refused answer is drawn again."""
        if self.batch_in:
            return 0
        return 2 if self.retries is None else self.retries


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


@dataclass(frozen=True)
class SelectedOptions(JudgeReplies, ValidatedAnswers):
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

    def check(self) -> None:
        super().check()
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

    def selecting(self) -> str | None:
        if self.distinct:
            return "--distinct"
        return "--best-of" if self.best_of else super().selecting()

    def scores_asked(self) -> set[str]:
        """The scores that rules and the choice ask for."""
        return super().scores_asked() | ({self.score.name} if self.score else set())

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

    def opened_judge(
        self,
        seed: int,
        kept: tuple[TalliedStore | None, ValueStore | None],
        stack: ExitStack,
        tell: Callable[[str], None],
        limits: TrafficLimits,
    ) -> Judge:
        """The judge, closed by ``stack``. ``kept``: journal and cache, which keep its replies like answers;
        ``limits``: shared with the model."""
        from synthtools.evaluate.judge import Judge
        from synthtools.lm.generation import SamplingSettings
        from synthtools.lm.kept_values import KeptGenerator, ModelValues
        from synthtools.lm.open_models import open_generator

        # The model's revision and tokenizer are not the judge's.
        own = replace(self, revision=None, tokenizer=None, answers_as=None)
        if self.judge_server:
            server = [self.judge_server]
            own = replace(own, server=server, backend="server", context=None, ray=None)
        settings = own.settings(self.judge)
        self.require_guidable([settings])
        sampling = SamplingSettings(0.0, 1.0, None, self.judge_tokens)
        opened = open_generator(
            settings, sampling, seed, tell, servers=(own.server or [])[1:], limits=limits
        )
        values = ModelValues.of(settings, stack.enter_context(opened).description, *kept)
        generator = KeptGenerator(opened, values, sampling, seed)
        guided = sampling if self.judge_guided else None
        return Judge(generator, seed, self.judge_retries, _gone, guided)

    def opened_scores(self, stack: ExitStack, tell: Callable[[str], None]) -> dict[str, Score]:
        """The scores that are asked for, but the judge's; their models are closed by ``stack``."""
        from synthtools.curate.text_classifier import TextClassifier
        from synthtools.curate.validators import LENGTHS
        from synthtools.lm.open_models import open_model
        from synthtools.lm.scores import ScoreRequest

        scores = dict(LENGTHS)
        if self.classifier is not None:
            scores["probability"] = _probability_by(TextClassifier.load(self.classifier))
        if "perplexity" in self.scores_asked():
            backend = "auto" if self.backend == "server" else self.backend
            own = replace(
                self, revision=None, tokenizer=None, context=None, server=None, backend=backend
            )
            model = open_model(own.settings(self.score_model or "builtin"), ScoreRequest(), tell)
            scores["perplexity"] = _perplexity_under(stack.enter_context(model))
        return scores


def _is_index(name: str) -> bool:
    from synthtools.records.remote_paths import path_of

    return (path_of(name) / "index.json").exists()


def _gone(reason: str) -> None:
    # Else its silence would refuse all answers that are left.
    raise SynthError(f"the judge: {reason}")


def rated_by(judge: Judge) -> Score:
    """The ratings of a judge, 1 to 10; None where its reply has none."""
    from synthtools.evaluate.judge import Question, rating
    from synthtools.evaluate.judge_prompts import RATE

    form = rating(RATE.low, RATE.high)

    def question(prompt: Prompt, answer: Answer) -> Question:
        messages = prompt.messages or ({"role": "user", "content": prompt.text or ""},)
        alone = len(messages) == 1
        asked = "\n\n".join(
            one["content"] if alone else f"{one['role']}: {one['content']}" for one in messages
        )
        return Question(prompt.key.hex(), RATE, {"question": asked, "answer": answer.text}, form)

    return lambda prompts, answers: [
        verdict.value for verdict in judge.ask(list(map(question, prompts, answers)))
    ]


def _perplexity_under(model: LanguageModel) -> Score:
    """The perplexity of answers; None where no token of one has a probability."""
    from synthtools.lm.prefetch import gathered
    from synthtools.lm.scores import ScoreRequest
    from synthtools.measure.perplexity import document_score

    def score(prompts: object, answers: Sequence[Answer]) -> list[float | None]:
        perplexities: list[float | None] = []
        for some in gathered(answers, lambda one: len(one.text), model.chunk_bytes):
            tokens = model.tokenise([answer.text for answer in some])
            scores = model.score(tokens, ScoreRequest())
            perplexities += [document_score(one.logprobs, 0).ppl for one in scores]
        return perplexities

    return score


def _probability_by(classifier: TextClassifier) -> Score:
    """The probability of a classifier's first class."""
    from synthtools.curate.validators import as_buffer

    return lambda prompts, answers: classifier.probabilities(as_buffer(answers))[:, 0].tolist()
