"""``synth edit``: token-level editing with a prior (ToEdit)."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.model_options import Model
from synthtools.cli.options import Inputs, Output, Picture, Seed, TextField, Workers
from synthtools.cli.parameters import option


def edit(
    reading: Inputs,
    text: TextField,
    writing: Output,
    plotting: Picture,
    seed: Seed,
    model: Model,
    jobs: Workers,
    threshold: Annotated[
        float | None,
        option(
            "--threshold",
            metavar="P",
            min=0,
            max=1,
            help="Draw tokens of probability P or more anew. Default 0.99, unless --below or "
            "--drop-below is given alone.",
        ),
    ] = None,
    below: Annotated[
        float | None,
        option(
            "--below",
            metavar="P",
            min=0,
            max=1,
            help="Draw tokens of probability P or less anew (the paper's ablation).",
        ),
    ] = None,
    drop_below: Annotated[
        float | None,
        option(
            "--drop-below",
            metavar="P",
            min=0,
            max=1,
            help="Delete tokens of probability less than P (the authors' filter uses 0.001).",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        option(
            "--top-k",
            metavar="K",
            min=1,
            help="Draw from the K most probable tokens (default 8; 64 with --top-p).",
        ),
    ] = None,
    top_p: Annotated[
        float | None,
        option(
            "--top-p",
            metavar="P",
            min=0,
            max=1,
            help="Draw from the fewest tokens that together have probability P.",
        ),
    ] = None,
    rejection: Annotated[
        str | None,
        option(
            "--rejection",
            metavar="authors|exact",
            help="Draw by rejection sampling (RSO, arXiv 2309.06657). With authors as in their code: the "
            "first accepted of rounds from the most probable down, each with chance a = softmax(P/BETA), "
            "so that c is drawn with q(c) ~ a(c) times the (1 - a) of those before it; BETA is 0.5 "
            "unless given. With exact RSO's target for the reward ln P [ours]: q(c) ~ P(c)^(1 + 1/BETA).",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        option(
            "--temperature",
            metavar="BETA",
            min=0,
            help="Draw c with q(c) ~ P(c)^(1/BETA). Default 1.5, as the authors' code; 1 with "
            "--top-p, 0.5 with --rejection authors.",
        ),
    ] = None,
    exclude_observed: Annotated[
        bool,
        option(
            "--exclude-observed",
            help="Never draw the token that stands there [ours]. By default it is a candidate, so "
            "that most draws return it.",
        ),
    ] = False,
    generations: Annotated[
        int,
        option("--generations", metavar="N", min=1, help="Edit the edited text again, N in all."),
    ] = 1,
    scores: Annotated[
        str | None,
        option(
            "--scores",
            metavar="FILE",
            help="Edit from the scores that synth ppl --candidates K wrote for these records, "
            "without running the model: the same bytes as with it.",
        ),
    ] = None,
) -> None:
    """Edit the text of records token by token (ToEdit, arXiv 2412.14689).

    One pass of the model over the original text gives every token a probability. Tokens that it
    finds all but certain are drawn anew from its own distribution; all others stay. Only the bytes
    of changed tokens change, and the result is valid UTF-8. The first token is never edited.

    Adds edit_tokens, edit_flagged (tokens drawn anew), edit_changed (draws that gave another text)
    and, with --drop-below, edit_dropped; after several generations they count the last one. A draw that
    cannot stand in the text (a special token, a piece of a character) leaves the token as it was
    and is counted as held in the report. [ours] marks what the paper leaves open.

    \b
    Examples:
      synth edit --threshold 0.99 human.jsonl.zst -o edited.jsonl.zst --report edit.json
      synth edit human/ -o edited/ --resume
      synth edit human.jsonl | synth ppl --summary
      synth edit human.jsonl --scores scores.parquet --threshold 0.999 --seed 3

    Memory: the model, some MB of text ahead; 8 to 16 bytes for each record without an id.
    """
    from synthtools.cli.run import Run
    from synthtools.cli.terminal import remark
    from synthtools.curate.edit import REJECTIONS, Rules
    from synthtools.errors import UsageError

    if temperature == 0:
        raise UsageError("--temperature must be above 0 (--top-k 1 takes the most probable token)")
    if rejection not in (None, *REJECTIONS):
        raise UsageError(f"--rejection {rejection}: use authors or exact")
    if top_p == 0:
        raise UsageError("--top-p must be above 0")
    if scores and generations > 1:
        raise UsageError("--scores are of the original text: they serve one generation only")
    settings = model.settings(jobs)
    rules = Rules.from_options(
        threshold=threshold,
        below=below,
        drop_below=drop_below,
        top_k=top_k,
        top_p=top_p,
        rejection=rejection,
        temperature=temperature,
        exclude_observed=exclude_observed,
    )
    with Run(
        "edit",
        reading,
        writing,
        text.text_field,
        beside=[scores] if scores else [],
        plot=plotting.plot,
    ) as run:
        from synthtools.curate import editing
        from synthtools.curate.stored_scores import StoredScores
        from synthtools.lm.scorer import open_model, open_tokenizer

        if run.done:
            run.finish(editing.report(run.totals, rules, generations))
            return
        if scores is not None:
            tokenizer = open_tokenizer(settings.model)
            stored = StoredScores(run.batches_beside(), rules, tokenizer, text.text_field)
            run.write(
                editing.edited_by_scores(
                    run.keyed_batches(),
                    stored.of,
                    rules,
                    tokenizer,
                    text.text_field,
                    seed=seed.seed,
                )
            )
        else:
            with open_model(settings, rules.request(), remark) as scorer:
                run.model = scorer.description
                run.write(
                    editing.edited_by_model(
                        run.keyed_batches(scorer.chunk_bytes),
                        scorer,
                        rules,
                        text.text_field,
                        seed=seed.seed,
                        generations=generations,
                    )
                )
        report = run.finish(editing.report(run.totals, rules, generations))
    last = report["generations"][-1]
    if last["tokens"] and not (last["changed"] or last["dropped"] or reading.quiet):
        remark(
            f"no token was changed: {last['flagged']:,} of {last['tokens']:,} flagged (--threshold and "
            "--below say which are)"
        )
