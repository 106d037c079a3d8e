"""What the answers of ``synth generate`` cost: its options, and its dry run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthtools.cli import quantities, terminal
from synthtools.cli.parameters import option
from synthtools.errors import SynthError, UsageError
from synthtools.reports.generate import ModelPlan, PlanNumbers
from synthtools.tools.generate_batches import Batches

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.lm.token_budget import Prices


@dataclass(frozen=True)
class Costs(Batches):
    """What answers may cost."""

    group = "Options"
    dry_run: bool = option(
        False,
        help="Have 16 of the prompts answered, print what all of them would take (tokens, time, "
        "cost), and write nothing.",
    )
    price_in: float = option(
        0.0, metavar="PRICE", min=0.0, help="Price of a million tokens of prompts, for the report."
    )
    price_out: float = option(
        0.0, metavar="PRICE", min=0.0, help="Price of a million tokens of answers."
    )
    budget: quantities.Budget | None = option(
        None,
        metavar="tokens=N|cost=X",
        parse=quantities.budget,
        help="Stop once prompts and answers have taken so many tokens, or cost so much. What is in "
        "flight is still answered and kept; --resume with a larger budget continues.",
    )

    def check(self) -> None:
        super().check()
        if self.budget and self.budget.unit == "cost" and not (self.price_in or self.price_out):
            raise UsageError("--budget cost=X needs --price-in or --price-out")

    def prices(self) -> Prices:
        """Per million tokens."""
        from synthtools.lm.token_budget import Prices

        return Prices(self.price_in, self.price_out)


def plan(run: Run, options: Costs, seed: int) -> dict[str, Any]:
    """What the answers to all prompts would take, from those to a few of them.

    Raises:
        SynthError: there is no prompt, or none of the few has an answer.
    """
    from synthtools.curate.generation_costs import estimate, sampled

    names, prices = options.names(), options.prices()
    answers = options.samples / (len(names) if options.assign == "stratified" else 1)
    prompts = sampled(options.asked(run.records(), run.rejects), seed, options.passages_of)
    if not prompts.number:
        raise SynthError("there is no prompt to be answered")
    tell = terminal.remark_once(run.quiet)
    models: list[ModelPlan] = []
    for name in names:
        with options.opened(name, options.sampling(), seed, tell) as generator:
            one = estimate(prompts, options.by_passage(generator), answers)
        models.append(
            {"model": name, **one, "cost": prices.cost(one["prompt_tokens"], one["tokens"])}
        )
    numbers: PlanNumbers = {
        "prompts": prompts.passages,
        "requests": sum(one["requests"] for one in models),
        "prompt_tokens": sum(one["prompt_tokens"] for one in models),
        "tokens": sum(one["tokens"] for one in models),
        "seconds": sum(one["seconds"] for one in models),
        "cost": sum(one["cost"] for one in models),
        "models": models,
    }
    return {"kind": "generate-plan", **numbers}
