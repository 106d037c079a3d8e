"""``synth table``: numbers out of many reports as one table, with a verdict on each claim."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.parameters import operand, option


def table(
    files: Annotated[
        list[str] | None,
        operand(
            metavar="REPORT",
            help="Reports, by a pattern ('runs/{share}-{seed}.json', quoted: each name in braces is "
            "one or more characters other than / and becomes a field of the row, a number where all are "
            "plain decimals of one writing: 1e5 may be a commit) or by name; records (JSONL, Parquet, "
            "Arrow), one a row. - is stdin.",
        ),
    ] = None,
    take: Annotated[
        list[str] | None,
        option(
            "--take",
            metavar="NAME=PATH",
            help="A number of each report, under a name: a.b.c, names of odd characters in quotes "
            '(a."b.c"), [0] and [-1] in lists, [name=value] for the object of a list. PATH@FILE takes it '
            "out of files of that name alone (ppl=perplexity@*-human.json). Repeatable. "
            "Default: of records, all fields that hold numbers.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str | None,
        option(
            "--by",
            metavar="FIELD,…",
            help="The rows of the table (default: all fields that are neither taken nor --over).",
            show_default=False,
        ),
    ] = None,
    over: Annotated[
        str | None,
        option(
            "--over",
            metavar="FIELD,…",
            help="Repetitions to average over (default: seed, where rows have it).",
            show_default=False,
        ),
    ] = None,
    claim: Annotated[
        list[str] | None,
        option(
            "--claim",
            metavar="'TEXT: EXPRESSION'",
            help="Judge a chain of comparisons (< > <= >=) between cells NAME[field=value,…], with "
            "+ - * / ( ), numbers, mean, min, max and log, or that a cell has a known value, "
            "x = 10 ± 5 % [ours]. Repeatable.",
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        option(
            "--columns",
            metavar="NAME,…",
            help="Values that the table shows at a terminal and in Markdown (default: all).",
            show_default=False,
        ),
    ] = None,
    pivot: Annotated[
        str | None,
        option(
            "--pivot",
            metavar="FIELD",
            help="Show the values of a field of --by beside each other, a column each.",
        ),
    ] = None,
    rows: Annotated[
        str | None,
        option(
            "--rows",
            metavar="FILE",
            help="Write the joined rows as records too; the suffix decides the format.",
        ),
    ] = None,
    markdown: Annotated[
        str | None,
        option("--markdown", metavar="FILE", help="Write the tables as Markdown too."),
    ] = None,
    section: Annotated[
        str | None,
        option(
            "--section",
            metavar="NAME",
            help="With --markdown: replace what stands in that file between the lines <!-- NAME --> "
            "and <!-- /NAME -->.",
        ),
    ] = None,
    force: Annotated[
        bool, option("--force", help="Replace files of --rows and --markdown that are there.")
    ] = False,
    report: Annotated[
        str | None, option("--report", metavar="FILE", help="Write the report to this file too.")
    ] = None,
    plot: Annotated[
        str | None,
        option(
            "--plot",
            metavar="FILE",
            help="Draw the values against the first field of --by that holds numbers, as PNG or SVG "
            "(needs [plot]).",
        ),
    ] = None,
    json_output: Annotated[
        bool, option("--json", help="Print the report as JSON at a terminal too.")
    ] = False,
) -> None:
    """Numbers out of many reports as one table: means over seeds, and verdicts on claims.

    Rows of equal fields are joined, whichever pattern they come from: the report of a training and
    that of its evaluation are one row. Each group has the mean, the sample standard deviation and
    Student's 95 % interval of the mean over its repetitions [ours].

    A claim is computed for each repetition by itself, over those that have all of its cells. Each
    comparison has a difference in the claimed direction, with its 95 % interval. Verdicts: reproduced,
    the interval lies above 0 (of <= and >= it may touch 0); contradicted, it lies below 0; not at this
    scale, it holds 0, or one repetition has no interval. A chain is reproduced if each of its
    comparisons is, contradicted if any is. A known value (x = 10 ± 5 %) is tested as it stands: reproduced
    where the mean lies within the tolerance and the interval holds the value (or lies within the tolerance
    as a whole), contradicted where neither is so. Where a difference is the same in every repetition, which of
    a coarse measure is no certainty, the verdict says so. Verdicts are not corrected for the number of claims [ours].

    \b
    Examples:
      synth table 'runs/{share}-{seed}.json' --take ppl=valid.human --over seed
      synth table 'runs/{share}-{seed}.json' --take ppl=valid.human \\
        --claim 'Synthetic text hurts: ppl[share=0] < ppl[share=100]' | jq -r '.claims[].verdict'
      synth table 'runs/{method}-{seed}.json' 'eval/{method}-{seed}.json' --take ppl=valid.human \\
        --take ece=suites.arc_easy.figures.ece --rows runs.parquet --markdown README.md --section runs
      synth table runs.parquet --by method --columns ece

    Memory: one report at a time, and the values taken. At most 100,000 files, and 1,000,000 rows of
    records, at some 2 KB each [ours].
    """
    from synthtools.cli.tabulating import Tabulating, run_table

    options = Tabulating(
        take=tuple(take or ()),
        by=by,
        over=over,
        claims=tuple(claim or ()),
        columns=columns,
        pivot=pivot,
        rows=rows,
        markdown=markdown,
        section=section,
        report=report,
        plot=plot,
        force=force,
    )
    run_table(list(files or []), options, json_output)
