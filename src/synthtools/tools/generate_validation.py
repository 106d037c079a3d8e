"""The options of ``synth generate`` about checks of answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthtools.cli.parameters import option
from synthtools.errors import UsageError
from synthtools.tools.generate_costs import Costs

if TYPE_CHECKING:
    from synthtools.curate.validators import Validator


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
        "[validate]), or a range of a score: judge=7.., perplexity=..50, probability=0.9... Repeatable; all must "
        "hold, asked in their order. A prompt whose answers are all refused is a bad record, with the rule and "
        "what it saw.",
    )
    retries: int | None = option(
        None,
        metavar="N",
        min=0,
        max=100,
        help="How often to draw a refused answer again (default 2), each time a draw of its own.",
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
