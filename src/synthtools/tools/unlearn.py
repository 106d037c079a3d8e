"""``synth unlearn``: take a pattern out of a language model and keep the rest."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.options import BadRecords, Inputs, Jobs, Picture, Seed, TextField
from synthtools.cli.parameters import option
from synthtools.cli.recipe import Adapters, Compute, Conversations, Keeping, Recipe, Watching


def unlearn(
    bad: BadRecords,
    text: TextField,
    conversations: Conversations,
    plotting: Picture,
    seed: Seed,
    jobs: Jobs,
    recipe: Recipe,
    compute: Compute,
    adapters: Adapters,
    keeping: Keeping,
    watching: Watching,
    model: Annotated[
        str | None,
        option("--model", metavar="MODEL", help="What to change: builtin, a directory, a Hub id."),
    ] = None,
    revision: Annotated[
        str | None,
        option("--revision", metavar="REV", help="Commit, tag or branch of a Hub model."),
    ] = None,
    forget: Annotated[
        list[str] | None,
        option(
            "--forget",
            metavar="PATH",
            help="Records whose pattern goes: a text, or a prompt and a response (read as the prompt, "
            "an empty line, the response); repeatable.",
        ),
    ] = None,
    replay: Annotated[
        list[str] | None,
        option(
            "--replay",
            metavar="PATH[=SHARE]",
            help="Human text that the model must keep; repeatable, with shares or without.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        option("--output", "-o", metavar="DIR", help="The model directory to make."),
    ] = None,
    method: Annotated[
        str,
        option(
            "--method",
            metavar="NAME",
            help="bounded (default), ga, graddiff, kl, npo, simnpo, wga, or refine; see below.",
        ),
    ] = "bounded",
    weights: Annotated[
        str | None,
        option(
            "--weights",
            metavar="F,R,K",
            help="Of forgetting, of cross entropy on replay, of KL on replay (default: the method's).",
        ),
    ] = None,
    beta: Annotated[
        float | None,
        option(
            "--beta",
            metavar="B",
            min=1e-6,
            help="β of npo (0.1) and simnpo (4.5), α of wga (1).",
        ),
    ] = None,
    margin: Annotated[float, option("--margin", metavar="G", min=0.0, help="γ of simnpo.")] = 0.0,
    kl_direction: Annotated[
        str,
        option(
            "--kl-direction",
            metavar="forward|reverse",
            help="KL(original ‖ current), or KL(current ‖ original) [direction: ours].",
        ),
    ] = "forward",
    reference: Annotated[
        str | None,
        option(
            "--reference",
            metavar="MODEL",
            help="The original that KL, npo and the report compare with (default: the model as it "
            "begins).",
        ),
    ] = None,
    tokens: Annotated[
        str | None,
        option(
            "--tokens",
            metavar="N",
            help="Tokens to forget (100K, 1B; of replay with refine), passes repeated; else --epochs.",
        ),
    ] = None,
    epochs: Annotated[
        float,
        option("--epochs", metavar="N", min=0.0, help="Passes over the stream that ends first."),
    ] = 1.0,
    forget_share: Annotated[
        float,
        option(
            "--forget-share",
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="Share of a step's rows that are to be forgotten, where there is replay [ours].",
        ),
    ] = 0.5,
    context: Annotated[
        int | None,
        option(
            "--context",
            metavar="TOKENS",
            min=2,
            help="Tokens of a row of replay (default: the model's own, at most 2048).",
        ),
    ] = None,
    forget_context: Annotated[
        int | None,
        option(
            "--forget-context",
            metavar="TOKENS",
            min=2,
            help="Tokens of a row of what is forgotten (default: as --context); longer documents "
            "count as several.",
        ),
    ] = None,
    sft: Annotated[
        bool,
        option(
            "--sft",
            help="What is forgotten are conversations (messages, or prompt and response), written "
            "by the chat template; what is longer than a row is cut and counted.",
        ),
    ] = False,
    answers_only: Annotated[
        bool,
        option("--answers-only", help="Forget the answers alone, not the prompts before them."),
    ] = False,
    until: Annotated[
        list[str] | None,
        option(
            "--until",
            metavar="NAME=VALUE",
            help="End when forget-ppl, kl or drift has reached a value (mean of 10 steps); "
            "repeatable.",
        ),
    ] = None,
    max_replay_rise: Annotated[
        str | None,
        option(
            "--max-replay-rise",
            metavar="SHARE",
            help="End when perplexity on replay has risen this much (5%, 0.05) over the original's "
            "on the same rows (mean of 10 steps).",
        ),
    ] = None,
    norms_every: Annotated[
        int,
        option(
            "--norms-every",
            metavar="STEPS",
            min=0,
            help="Steps between measurements of each term's gradient norm, each of which costs as "
            "much as a step; 0: never.",
        ),
    ] = 50,
    compare_tokens: Annotated[
        str,
        option(
            "--compare-tokens",
            metavar="N",
            help="Tokens of forget, replay and each --valid set that both models read at the end, "
            "for the report; 0: no such report.",
        ),
    ] = "50K",
    report: Annotated[
        str | None, option("--report", metavar="FILE", help="Write the report here as JSON too.")
    ] = None,
) -> None:
    """Make a model forget the pattern of some text while it keeps what it knows.

    Each step takes rows to forget and rows of human text to replay, and minimises
    F · forgetting + R · cross entropy on replay + K · KL on replay to the original model, by default
    0.01, 1, 1 (Unveiling the Flaws, arXiv 2406.12397). Documents are kept apart. Each step's log line
    (training/log.jsonl) has every term, the perplexities, KL and the distance from the original; the
    report at the end compares both models on all sets. Everything else is as in synth train:
    adapters, processes, checkpoints, --resume.

    \b
    Methods, with their weights:
      bounded   -ln(1-p) per token, bounded below      0.01,1,1    [Flaws; token mean: ours]
      ga        gradient ascent, ln p, no lower bound  1,0,0
      graddiff  gradient ascent and replay             1,1,0
      kl        gradient ascent and KL on replay       1,0,1
      npo       negative preference, by document       1,1,0       (arXiv 2404.05868)
      simnpo    npo by the token, without the original 0.125,1,0   (arXiv 2410.07163)
      wga       ascent weighed by p^alpha              1,1,0       (arXiv 2502.19301)
      refine    continued training on replay alone     0,1,0       (RefineLM) [Flaws]

    \b
    Examples:
      synth unlearn --model synthlm/ --forget qa.jsonl --replay human/ --tokens 100K -o unlearned/
      synth unlearn --model synthlm/ --forget qa.jsonl --replay human/ --tokens 100K \\
          --method npo --lora-rank 8 -o npo/
      synth unlearn --model synthlm/ --forget qa.jsonl --replay human/ --epochs 3 \\
          --max-replay-rise 2% --valid wiki=held.jsonl --plot shift.png -o careful/
      synth ppl held.jsonl --model synthlm/ --model unlearned/ --compare

    Memory: as synth train, and the original model once more (not with adapters, whose original is
    the same weights without them); of either model the logits of some rows only; a number for each
    document to forget.
    """
    from synthtools.cli.unlearning import What, run_unlearning

    run_unlearning(
        Inputs(bad.on_error, bad.rejects, bad.quiet),
        text,
        conversations,
        seed.seed,
        jobs.jobs,
        What(
            tuple(forget or ()),
            tuple(replay or ()),
            model,
            revision,
            method,
            weights,
            beta,
            margin,
            kl_direction,
            reference,
            tokens,
            epochs,
            forget_share,
            context,
            forget_context,
            sft,
            answers_only,
            tuple(until or ()),
            max_replay_rise,
            norms_every,
            compare_tokens,
        ),
        recipe,
        compute,
        adapters,
        keeping,
        watching,
        output,
        report,
        plotting.plot,
    )
