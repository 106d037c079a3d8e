"""``synth ppl``: perplexity of records under a language model."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.model_options import Models
from synthtools.cli.options import Inputs, Output, TextField, Workers
from synthtools.cli.parameters import option


def ppl(
    reading: Inputs,
    text: TextField,
    writing: Output,
    model: Models,
    jobs: Workers,
    prompt_field: Annotated[
        str | None,
        option(
            "--prompt-field",
            metavar="FIELD",
            help="Score the text given the prompt in this field (instruction data): the prompt is "
            "context and is not scored.",
        ),
    ] = None,
    tokens: Annotated[
        bool,
        option("--tokens", help="Add token_ids and token_logprobs (null for an unscored token)."),
    ] = False,
    candidates: Annotated[
        int,
        option(
            "--candidates",
            metavar="K",
            min=0,
            help="Add the K most probable tokens at every token, for synth edit --scores.",
        ),
    ] = 0,
    summary: Annotated[
        bool,
        option("--summary", help="Print the distribution as a report instead of records."),
    ] = False,
    compare: Annotated[
        bool,
        option(
            "--compare",
            help="Report how the inputs' distributions differ, each from each; or, of one input "
            "under several models, what the models make of it. Records that have ppl or nll "
            "already are not scored again, unless several models are named.",
        ),
    ] = False,
    linear: Annotated[
        bool,
        option(
            "--linear",
            help="With --compare: densities of the perplexity itself, not of its logarithm. "
            "Perplexity is skewed; a kernel of one width fits its logarithm.",
        ),
    ] = False,
    bootstrap: Annotated[
        int,
        option(
            "--bootstrap",
            metavar="B",
            min=0,
            max=100_000,
            help="With --compare: resamples behind the 95 % intervals [ours]; 0 for none.",
        ),
    ] = 200,
    seed: Annotated[
        int, option("--seed", metavar="N", min=0, help="Seed of the resamples of --compare.")
    ] = 0,
    epsilon: Annotated[
        float,
        option(
            "--epsilon",
            metavar="NATS",
            min=0.0,
            help="With --compare of two models: divergence per token above which data that the "
            "first wrote is pure synthetic in the eyes of the second (ToEdit, equation 9; the paper "
            "leaves the value open [ours]). For text sampled at temperature 1 and top-p 1: of text "
            "that generate says it drew otherwise the verdict is withheld.",
        ),
    ] = 0.1,
    plot: Annotated[
        str | None,
        option(
            "--plot",
            metavar="FILE",
            help="Draw the report of --summary or --compare as PNG or SVG (needs [plot]).",
        ),
    ] = None,
    json_output: Annotated[
        bool, option("--json", help="Print the report as JSON at a terminal too.")
    ] = False,
) -> None:
    """Perplexity of each record under a language model.

    Adds ppl, nll (nats per token), n_tokens (the tokens that have a probability: all but the first,
    which has one only after a begin-of-text token or a prompt) and bits_per_byte (over the bytes of
    the scored tokens; comparable between tokenizers). They are null where no token could be scored.

    --summary reports the distribution instead: token-weighted perplexity, median, mean, the mean
    without outliers (1.5 interquartile ranges), percentiles, a histogram, and the ten-bin histogram
    of token probabilities (the U shape of ToEdit).

    --compare sets distributions against each other (coverage collapse): the share of each outside
    the range of the other and above its 99th percentile, overlap, Jensen–Shannon, Wasserstein,
    Kolmogorov–Smirnov, variance ratio, shifts, each with an interval. Of one data set under several
    models also the divergence per token.

    \b
    Examples:
      synth ppl human.jsonl -o scored.parquet
      synth edit human.jsonl.zst | synth ppl --summary
      synth ppl qa.jsonl --prompt-field question --text-field answer --summary
      synth ppl human.jsonl --candidates 8 -o scores.parquet
      synth ppl human.jsonl synthetic.jsonl --compare --plot ppl.png
      synth ppl held.jsonl --model synthlm/ --model unlearned/ --compare --json

    Memory: the model, some MB of text ahead; with --summary 8 bytes a record, with --compare
    about 100; the models of a comparison are loaded one after the other.
    """
    from synthtools.cli import comparing
    from synthtools.cli.publish import check_plot, draw, show
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark
    from synthtools.errors import UsageError
    from synthtools.reports import document
    from synthtools.reports.ppl import comparison_lines, summary_lines

    reporting = "--summary" if summary else "--compare" if compare else None
    if summary and compare:
        raise UsageError("--summary and --compare are reports of their own; give one")
    if reporting and (writing.output or writing.format or writing.resume or tokens or candidates):
        raise UsageError(
            f"{reporting} prints a report, not records: it does not go with -o, --format, --resume, "
            "--tokens or --candidates (--report FILE keeps it)"
        )
    if json_output and not reporting:
        raise UsageError("--json belongs to --summary and --compare; records are JSON already")
    if plot is not None and not reporting:
        raise UsageError("--plot belongs to --summary and --compare")
    if plot is not None:
        check_plot(plot)
    if len(model.names()) > 1 and not compare:
        raise UsageError("several models are for --compare; name one")
    prompts = ((prompt_field, "--prompt-field"),) if prompt_field else ()
    settings = [model.settings(jobs, name) for name in model.names()]
    if compare:
        options = comparing.Comparing(
            text.text_field, prompt_field, not linear, bootstrap, seed, epsilon
        )
        report = comparing.run_comparison(reading, model, jobs, options)
        draw(report, plot)
        if writing.report:
            document.save(report, writing.report)
        show(report, json_output, comparison_lines(report))
        return
    with Run("ppl", reading, None if summary else writing, text.text_field, prompts) as run:
        if run.done:
            run.finish({"tokens": run.totals.get("tokens", 0)})
            return
        from synthtools.lm.scorer import open_model
        from synthtools.lm.scores import Request
        from synthtools.measure.perplexity import Summary
        from synthtools.measure.scoring import scored, with_fields

        request = Request(candidates)
        with open_model(settings[0], request, remark) as scorer:
            run.model = scorer.description
            items = scored(
                run.batches(scorer.chunk_bytes), scorer, request, text.text_field, prompt_field
            )
            if not summary:
                run.write(with_fields(item, tokens, candidates > 0) for item in items)
                run.units["tokens"] = run.totals.get("tokens", 0)
                run.finish({"tokens": run.totals.get("tokens", 0)})
                return
            found = Summary()
            for item in items:
                found.add(item.documents, item.scored_bytes, [s.logprobs for s in item.scores])
                run.count(len(item.batch))
            result = found.result()
            run.units["tokens"] = result["tokens"]
            report = run.finish({"kind": "ppl-summary", **result})
    draw(report, plot)
    if writing.report:
        document.save(report, writing.report)
    show(report, json_output, summary_lines(report))
