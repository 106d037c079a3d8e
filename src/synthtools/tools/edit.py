"""Edit the text of records token by token (ToEdit, arXiv 2412.14689).

One pass of the model over the original text gives every token a probability. Tokens with probability
≥ P (--threshold) are resampled from the model's distribution; all others stay. Only the bytes of
changed tokens change, and the result is valid UTF-8. The first token is never edited.

Adds edit_tokens, edit_flagged (tokens resampled), edit_changed (draws that changed the text)
and, with --drop-below, edit_dropped; with several generations, counts of the last one. A draw that
cannot be written into the text (a special token, part of a character) leaves the token as it was
and is counted as held in the report. [ours] marks what the paper leaves open.

\b
Examples:
  synth edit --threshold 0.99 human.jsonl.zst -o edited.jsonl.zst --report edit.json
  synth edit human/ -o edited/ --resume
  synth edit human.jsonl | synth ppl --summary
  synth edit human.jsonl --scores scores.parquet --threshold 0.999 --seed 3

Memory: the model, some MB of text ahead; 8 to 16 bytes for each record without an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli.kinds import FileName, Positive, Probability, TopK
from synthtools.cli.model_options import Model
from synthtools.cli.options import Inputs, Output, Picture, Seed, Workers
from synthtools.cli.parameters import option
from synthtools.cli.text_shape import ShapedText
from synthtools.errors import UsageError

if TYPE_CHECKING:
    from synthtools.curate.token_edit import Rules


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, ShapedText, Output, Picture, Model, Seed, Workers):
    """Options of ``synth edit``."""

    threshold: Probability | None = option(
        help="Resample tokens with probability >= P. Default 0.99, unless --below or --drop-below "
        "is given alone."
    )
    below: Probability | None = option(
        help="Resample tokens with probability <= P (the paper's ablation)."
    )
    drop_below: Probability | None = option(
        help="Delete tokens with probability < P (the authors' filter uses 0.001)."
    )
    top_k: TopK | None = option(
        help="Draw from the K most probable tokens (default 8; 64 with --top-p)."
    )
    top_p: Probability | None = option(
        help="Draw from the fewest tokens that together have probability P."
    )
    rejection: Literal["authors", "exact"] | None = option(
        help="Draw by rejection sampling (RSO, arXiv 2309.06657). authors, as in their code: "
        "candidates are tried from the most probable down, each accepted with chance a = "
        "softmax(P/BETA), so that q(c) ~ a(c) times the (1 - a) of those before it; BETA is 0.5 "
        "unless given. exact, RSO's target for the reward ln P [ours]: q(c) ~ P(c)^(1 + 1/BETA)."
    )
    temperature: float | None = option(
        metavar="BETA",
        min=0,
        help="Draw c with q(c) ~ P(c)^(1/BETA). Default 1.5, as in the authors' code; 1 with "
        "--top-p, 0.5 with --rejection authors.",
    )
    exclude_observed: bool = option(
        False,
        help="Never draw the observed token [ours]. By default it is a candidate, and most draws "
        "return it.",
    )
    generations: Positive = option(
        1, help="Edit N times, each time the output of the previous edit."
    )
    scores: FileName | None = option(
        help="Edit from the scores that synth ppl --candidates K wrote for these records, without "
        "running the model; the output is byte for byte the same."
    )

    def check(self) -> None:
        super().check()
        if self.temperature == 0:
            raise UsageError(
                "--temperature must be above 0 (--top-k 1 takes the most probable token)"
            )
        if self.top_p == 0:
            raise UsageError("--top-p must be above 0")
        if self.scores and self.generations > 1:
            raise UsageError("--scores are of the original text: they serve one generation only")
        self.settings()

    def rules(self) -> Rules:
        """The options as the edit takes them."""
        from synthtools.curate.token_edit import Rules

        return Rules.of(self)


def run(options: Options) -> dict[str, Any]:
    """Edits with a model, or from stored scores."""
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark
    from synthtools.curate.edited_records import (
        StoredScores,
        edited_by_model,
        edited_by_scores,
        report,
        stored_fields,
    )
    from synthtools.lm.open_models import open_model
    from synthtools.lm.text_tokenizer import open_tokenizer

    run: Run
    settings, rules = options.settings(), options.rules()
    seed, generations = options.seed, options.generations
    beside: dict[str, Any] = {}
    if options.scores:
        beside = {
            "beside": [options.scores],
            "check_beside": lambda first: list(stored_fields(first, rules, run.text_field)),
        }
    run = Run("edit", options, options, options.text_field, plot=options.plot, **beside)
    with run:
        if run.done:
            return run.finish(report(run.totals, rules, generations))
        if options.scores:
            tokenizer, field = open_tokenizer(settings.model), run.text_field
            stored = StoredScores(run.batches_beside(), rules, tokenizer, field)
            records = run.keyed_batches(), stored.of, rules, tokenizer, field, run.rejects
            run.write(edited_by_scores(*records, seed=seed))
        else:
            with open_model(settings, rules.request(), remark) as model:
                run.model, run.progress.scoring = model.description, model.progress
                batches, field = run.keyed_batches(model.chunk_bytes), run.text_field
                edited = partial(edited_by_model, seed=seed, generations=generations)
                run.write(edited(batches, model, rules, field, run.rejects))
        result = run.finish(report(run.totals, rules, generations))
    last = result["generations"][-1]
    if last["tokens"] and not (last["changed"] or last["dropped"] or options.quiet):
        remark(
            f"no token was changed: {last['flagged']:,} of {last['tokens']:,} were flagged (lower "
            "--threshold or raise --below)"
        )
    return result
