"""``synth dsir``: importance resampling towards a target."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.options import Plotting, Reading, Seed, Text, Workers, Writing
from synthtools.cli.parameters import option


def dsir(
    reading: Reading,
    text: Text,
    writing: Writing,
    plotting: Plotting,
    seed: Seed,
    jobs: Workers,
    target: Annotated[
        list[str] | None,
        option(
            "--target",
            metavar="PATH[=SHARE]",
            help="Records that the selection is to be like; may be given several times. With shares "
            "each target gets its own part of the selection, without picking a record twice.",
        ),
    ] = None,
    count: Annotated[
        str | None,
        option("--count", "-n", metavar="N", help="How many records to select (1000, 10M)."),
    ] = None,
    weights: Annotated[
        bool,
        option(
            "--weights",
            help="Add dsir_logw, the log importance weight. Without -n every record is written, in "
            "order, those shorter than --min-tokens too.",
        ),
    ] = False,
    top_k: Annotated[
        bool,
        option("--top-k", help="Take the records of the largest weights, without Gumbel noise."),
    ] = False,
    n: Annotated[
        int, option("--n", metavar="N", min=1, max=20, help="Longest n-grams, in tokens.")
    ] = 2,
    buckets: Annotated[int, option("--buckets", metavar="B", min=2, help="Hash buckets.")] = 10_000,
    hash_name: Annotated[
        str,
        option(
            "--hash",
            metavar="fast|sha256",
            help="Hash of an n-gram. sha256 gives the numbers of the authors' package; the fast one "
            "nearly the same order.",
        ),
    ] = "fast",
    min_tokens: Annotated[
        int,
        option("--min-tokens", metavar="T", min=0, help="Never select records of fewer tokens."),
    ] = 100,
    smoothing: Annotated[
        float,
        option(
            "--smoothing",
            metavar="C",
            min=0,
            help="Pseudo-count added to each bucket of either corpus (Laplace; 0 in the paper).",
        ),
    ] = 0.0,
    fit_tokens: Annotated[
        str,
        option(
            "--fit-tokens",
            metavar="COUNT|all",
            help="Fit the raw side on the first so many tokens instead of all.",
        ),
    ] = "all",
    target_text_field: Annotated[
        str | None,
        option(
            "--target-text-field",
            metavar="FIELD",
            help="The field that holds the targets' text, where it is another.",
        ),
    ] = None,
    save_estimator: Annotated[
        str | None,
        option("--save-estimator", metavar="FILE", help="Keep what was fitted, as JSON."),
    ] = None,
    estimator: Annotated[
        str | None,
        option(
            "--estimator",
            metavar="FILE",
            help="Use what --save-estimator kept: the raw data is then read only once.",
        ),
    ] = None,
) -> None:
    """Select the records that are most like a target (DSIR, Xie et al. 2023).

    Documents are bags of hashed uni- and bigrams. The log importance weight of a record is
    Σ counts · (ln(p + 1e-8) − ln(q + 1e-8)), with p the target's bucket shares and q those of the
    raw data. N records are drawn without replacement in proportion to their weights (Gumbel noise
    by seed and record, the largest win) and written in input order.

    ToEdit selects synthetic text towards human text: raw = synthetic, target = human.

    \b
    Examples:
      synth dsir synthetic/ --target human.jsonl -n 10K -o selected.jsonl
      synth dsir raw.jsonl --target human.jsonl --weights --hash sha256 | jq .dsir_logw
      synth dsir raw/ --target wiki/=0.7 --target code/=0.3 -n 1M -o selected/
      synth dsir raw/ --target human/ --weights | synth sample -n 1000 --by dsir_logw

    Memory: some MB a core, about 80 bytes for each record selected, and 8 to 16 bytes for each
    distinct record. The raw data is read at most twice; candidates wait in TMPDIR, about
    n·(1 + ln(N/n)) of N records, and so does raw data from a pipe. With --ray what was chosen is read
    once more instead of waiting.
    """
    from synthtools.cli import selecting

    selecting.run_dsir(
        reading,
        text,
        writing,
        jobs,
        selecting.Selection(
            targets=tuple(target or ()),
            count=count,
            weights=weights,
            top_k=top_k,
            n=n,
            buckets=buckets,
            hash_name=hash_name,
            min_tokens=min_tokens,
            smoothing=smoothing,
            fit_tokens=fit_tokens,
            target_text_field=target_text_field,
            save_estimator=save_estimator,
            estimator=estimator,
            seed=seed.seed,
        ),
        plotting.plot,
    )
