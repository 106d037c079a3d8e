"""``synth ppl``: perplexity of records under a language model."""

from __future__ import annotations

from typing import Annotated

from synthtools.console.models import Model
from synthtools.console.options import Jobs, Reading, Text, Writing, option


def ppl(
    reading: Reading,
    text: Text,
    writing: Writing,
    model: Model,
    jobs: Jobs,
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
    json_output: Annotated[
        bool, option("--json", help="Print the report as JSON at a terminal too.")
    ] = False,
) -> None:
    """Perplexity of each record under a language model.

    Adds ppl, nll (nats per token), n_tokens (the tokens that have a probability: all but the first,
    which has one only after a begin-of-text token or a prompt) and bits_per_byte (comparable
    between tokenizers). They are null where no token could be scored.

    --summary reports the distribution instead: token-weighted perplexity, median, mean, the mean
    without outliers (1.5 interquartile ranges), percentiles, a histogram, and the ten-bin histogram
    of token probabilities (the U shape of ToEdit).

    \b
    Examples:
      synth ppl human.jsonl -o scored.parquet
      synth edit human.jsonl.zst | synth ppl --summary
      synth ppl qa.jsonl --prompt-field question --text-field answer --summary
      synth ppl human.jsonl --candidates 8 -o scores.parquet

    Memory: the model, some MB of text ahead; with --summary 8 bytes a record.
    """
    from synthtools.console import reports
    from synthtools.console.run import Run
    from synthtools.console.summaries import summary_lines
    from synthtools.console.terminal import remark
    from synthtools.errors import UsageError

    if summary and (writing.output or writing.format or writing.resume or tokens or candidates):
        raise UsageError(
            "--summary prints a report, not records: it does not go with -o, --format, --resume, "
            "--tokens or --candidates (--report FILE keeps it)"
        )
    if json_output and not summary:
        raise UsageError("--json belongs to --summary; records are JSON already")
    prompts = ((prompt_field, "--prompt-field"),) if prompt_field else ()
    with Run("ppl", reading, None if summary else writing, text.text_field, prompts) as run:
        if run.done:
            run.finish({"tokens": run.totals.get("tokens", 0)})
            return
        from synthtools.analysis.perplexity import Summary
        from synthtools.analysis.scoring import scored, with_fields
        from synthtools.lm.scorer import open_model
        from synthtools.lm.scores import Request

        request = Request(candidates)
        with open_model(model.settings(jobs), request, remark) as scorer:
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
                found.add(item.documents, item.utf8_bytes, [s.logprobs for s in item.scores])
                run.count(len(item.batch))
            result = found.result()
            run.units["tokens"] = result["tokens"]
            report = run.finish({"kind": "ppl-summary", **result})
    if writing.report:
        reports.save(report, writing.report)
    reports.show(report, json_output, summary_lines(report))
