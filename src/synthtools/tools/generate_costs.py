"""What the answers of ``synth generate`` cost, and answers that come later in files: options, dry run, requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthtools.cli import quantities, terminal
from synthtools.cli.kinds import FileName
from synthtools.cli.parameters import option, output_file
from synthtools.errors import SynthError, UsageError
from synthtools.reports.generate import ModelPlan, PlanNumbers
from synthtools.tools.generate_protocols import Asking

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.curate.batch_files import BatchModel
    from synthtools.lm.generation import Generator, Prompt, SamplingSettings
    from synthtools.lm.server.rate_limit import TrafficLimits
    from synthtools.lm.token_budget import Prices


@dataclass(frozen=True)
class Batches(Asking):
    """Answers that come later, in files."""

    group = "Options"
    batch_out: str | None = output_file(
        help="Send nothing: write the requests to this file, in OpenAI's batch format; beyond 50,000 of them "
        "or 200 MB they continue in FILE-2, FILE-3, …"
    )
    batch_in: list[FileName] | None = option(
        help="Take the answers from the results of such a batch, with the other arguments as for "
        "--batch-out; repeatable. A prompt without a result, or whose request failed, is a bad record."
    )

    def check(self) -> None:
        super().check()
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

    @property
    def in_files(self) -> bool:
        """Whether requests or answers are in files, and no model is opened."""
        return bool(self.batch_out or self.batch_in)

    def opened(
        self,
        name: str,
        sampling: SamplingSettings,
        seed: int,
        tell: Callable[[str], None],
        limits: TrafficLimits | None = None,
    ) -> Generator:
        from synthtools.curate.batch_files import BatchResults

        if self.batch_in:
            return BatchResults(self.batch_in, _model(self, seed), self.answers_as)
        return super().opened(name, sampling, seed, tell, limits)


def _model(options: Batches, seed: int) -> BatchModel:
    from synthtools.curate.batch_files import BatchModel

    return BatchModel(options.names()[0], options.sampling(), seed)


def requests(run: Run, options: Batches, seed: int, force: bool) -> dict[str, Any]:
    """Writes the requests of all records."""
    from synthtools.curate.answers import keyed
    from synthtools.curate.batch_files import write_requests

    def prompts() -> Iterator[Prompt]:
        for _, asked, keys in options.asked(run.records(), run.rejects):
            for prompt, key in zip(asked, keys.tolist(), strict=True):
                for number in range(options.samples):
                    yield keyed(prompt, int(key), number)

    files = write_requests(prompts(), Path(options.batch_out or ""), force, _model(options, seed))
    total = sum(file["requests"] for file in files)
    return {"kind": "generate-batch", "requests": total, "files": files}


@dataclass(frozen=True)
class Costs(Batches):
    """What answers may cost."""

    group = "Options"
    dry_run: bool = option(
        False,
        help="Answer 16 of the prompts, print estimates for all of them (tokens, time, cost), and write "
        "nothing.",
    )
    price_in: float = option(
        0.0, metavar="PRICE", min=0.0, help="Price of a million tokens of prompts, for the report."
    )
    price_out: float = option(
        0.0, metavar="PRICE", min=0.0, help="Price of a million tokens of answers."
    )
    budget: quantities.Budget | None = option(
        metavar="tokens=N|cost=X",
        parse=quantities.budget,
        help="Stop once prompts and answers have used so many tokens, or cost so much. Requests in flight "
        "are still answered and kept; --resume with a larger budget continues.",
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
    """What the answers to all prompts would take, from those to a few of them. Raises SynthError: there is no
    prompt, or none of the few has an answer."""
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
