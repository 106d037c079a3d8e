"""The options of ``synth generate`` about checks of answers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from synthtools.cli.parameters import option
from synthtools.errors import SynthError, UsageError
from synthtools.tools.generate_costs import Costs

if TYPE_CHECKING:
    from synthtools.curate.answer_scores import Score
    from synthtools.curate.validators import Validator
    from synthtools.evaluate.judge import Judge
    from synthtools.lm.kept_values import ValueStore

# Of a judge's reply, in tokens: that of synth eval.
_JUDGE_TOKENS = 512


def _validator(text: str) -> Validator:
    from synthtools.curate.validators import validator_of

    return validator_of(text)


@dataclass(frozen=True)
class ValidatedAnswers(Costs):
    """Which answers are taken."""

    group = "Options"
    validate: list[Any] | None = option(
        None,
        metavar="RULE",
        parse=_validator,
        help="Accept only answers that pass: words=MIN..MAX, characters=MIN..MAX, tokens=MIN..MAX (20.. and "
        "..200 too), regex=REGEX (RE2, found in the answer), !regex=REGEX, json (the answer is JSON alone), "
        "schema=FILE (JSON that a JSON schema accepts), language=CODE,… (as langdetect sees it; both need "
        "[validate]), or judge=7.. (rated 1 to 10 by --judge). Repeatable; all must hold, asked in their order. A "
        "prompt whose answers are all refused is a bad record, with the rule and what it saw.",
    )
    retries: int | None = option(
        None,
        metavar="N",
        min=0,
        max=100,
        help="How often to draw a refused answer again (default 2), each time a draw of its own.",
    )
    judge: str | None = option(
        None,
        metavar="MODEL",
        help="The model that rates answers for judge=MIN..MAX, as in synth eval's MT-Bench, at temperature 0. "
        "It is loaded beside the model that answers and runs as that does, or on --judge-server. --budget "
        "does not count it.",
    )
    judge_server: str | None = option(
        None, metavar="URL", help="An OpenAI-compatible server for the judge."
    )

    def check(self) -> None:
        super().check()
        if (self.judge is not None) != ("judge" in self.scores_asked()):
            raise UsageError("--judge MODEL and a rule judge=MIN..MAX go together")
        if self.judge_server and not self.judge:
            raise UsageError("--judge-server needs --judge NAME, the model that it serves")
        if self.validate is None:
            if self.retries is not None:
                raise UsageError("--retries draws again what --validate refuses: give a rule")
            return
        if self.protocol in ("rationale", "self-instruct"):
            raise UsageError(f"--validate: {self.protocol} has checks of its own")
        if self.dry_run:
            raise UsageError("--dry-run cannot tell how often --validate draws again")
        if self.batch_in and self.retries:
            raise UsageError("--batch-in has one answer a prompt: --retries needs a model to ask")
        if self.retries != 0 and self.temperature == 0 and not self.batch_in:
            raise UsageError(
                "--temperature 0 draws the same answer again: --validate needs --retries 0 with it"
            )

    def scores_asked(self) -> set[str]:
        """The scores that rules ask for."""
        return {rule.within.score for rule in self.validate or () if rule.within is not None}

    def draws_after_the_first(self) -> int:
        """How often a refused answer is drawn again."""
        if self.batch_in:
            return 0
        return 2 if self.retries is None else self.retries

    def opened_judge(
        self,
        seed: int,
        journal: ValueStore | None,
        cache: ValueStore | None,
        stack: ExitStack,
        tell: Callable[[str], None],
    ) -> Judge:
        """The judge, closed by ``stack``; its replies are kept like answers."""
        from synthtools.evaluate.judge import Judge
        from synthtools.lm.generation import SamplingSettings
        from synthtools.lm.kept_values import KeptGenerator, ModelValues
        from synthtools.lm.open_models import open_generator

        # The model's revision and tokenizer are not the judge's.
        own = replace(self, revision=None, tokenizer=None, answers_as=None)
        if self.judge_server:
            server = [self.judge_server]
            own = replace(own, server=server, backend="server", context=None, ray=None)
        settings, sampling = (
            own.settings(name=self.judge),
            SamplingSettings(0.0, 1.0, None, _JUDGE_TOKENS),
        )
        opened = open_generator(
            settings, sampling, seed, tell, servers=(own.server or [])[1:], traffic=self.traffic()
        )
        kept = ModelValues.of(settings, stack.enter_context(opened).description, journal, cache)
        return Judge(KeptGenerator(opened, kept, sampling, seed), seed, on_failure=_gone)


def _gone(reason: str) -> None:
    # Else its silence would refuse all answers that are left.
    raise SynthError(f"the judge: {reason}")


def rated_by(judge: Judge) -> Score:
    """The ratings of a judge, 1 to 10; None where its reply has none."""
    from synthtools.evaluate.judge import Question, rating
    from synthtools.evaluate.judge_prompts import RATE
    from synthtools.lm.generation import Answer, Prompt

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
