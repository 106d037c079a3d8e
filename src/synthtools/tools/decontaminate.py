"""Find benchmark items in records, and remove the records that hold them.

Items and records are compared by n-grams of words; case, punctuation, spacing and numbers do not
matter. A record's score for an item is the share of the item's n-grams that the record contains.
Each n-gram is weighted by its rarity, 1/items · 1/(1 + ln records) where so many items and records
contain it [ours], so that boilerplate counts for little. A record holds the items for which it
scores at least --min-score.

The text of an item is every string in its fields (--item-fields): question, choices, answer. An item
without a field of --ngram words cannot be checked; such items are counted. --report shows the two
passages of each hit side by side; synth plot hits.json -o hits.html makes a page of it.

\b
Examples:
  synth decontaminate clean/ --benchmark gsm8k.jsonl --benchmark mmlu.jsonl --report hits.json -o pure/
  synth decontaminate crawl.jsonl --benchmark tests/ --remove nothing | synth cat --where 'contamination>0.5'
  synth decontaminate crawl.jsonl --benchmark tests/ --ngram 8 --remove passage -o pure.jsonl

Memory: the benchmarks, 30 bytes for each of their words, and 200 bytes for each pair of a record
and an item that share an n-gram. The input is read twice; stdin is kept in TMPDIR.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli.kinds import FieldName, FolderName, PathName
from synthtools.cli.options import Inputs, Output, Picture, TextField, Workers
from synthtools.cli.parameters import option
from synthtools.errors import RecordError, SynthError, UsageError

if TYPE_CHECKING:
    from synthtools.cli.run import Run
    from synthtools.curate.contamination import BenchmarkItems, Contamination
    from synthtools.records.batch import Batch

_HITS = 1000


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, TextField, Output, Picture, Workers):
    """Options of ``synth decontaminate``."""

    benchmark: list[str] = option(
        ...,
        metavar="PATH|lm-eval:TASK",
        help="A file or directory of benchmark items, or a task of lm-evaluation-harness whose data "
        "is on disk (needs [eval]); repeatable.",
    )
    task_files: FolderName | None = option(
        help="Task definitions of lm-evaluation-harness (YAML) for --benchmark lm-eval:TASK, instead "
        "of those installed."
    )
    item_fields: list[FieldName] | None = option(
        commas=True,
        help="The fields that hold an item's text; those that an item lacks are ignored (default: "
        "prompt, question, context, passage, choices, answer, response, solution, text).",
    )
    ngram: int = option(13, metavar="N", min=2, max=100, help="Length of the n-grams, in words.")
    min_score: float = option(
        0.2, metavar="S", min=0, max=1, help="The score from which a record holds an item."
    )
    min_run: int = option(
        0, metavar="WORDS", min=0, help="Also require a common run of so many words."
    )
    remove: Literal["record", "passage", "nothing"] = option(
        "record",
        help="Remove records that hold an item, or only the words that they share with it, or "
        "nothing: then all records get contamination (the score) and contaminated_by (the item's "
        "file:line).",
    )
    removed: PathName | None = option(
        help="Write the records that hold an item to this file or directory, unchanged but for "
        "these two fields."
    )

    def check(self) -> None:
        super().check()
        if self.removed and self.remove == "nothing":
            raise UsageError("--removed goes with --remove record or passage")

    def fields(self) -> list[str]:
        """The fields of an item's texts."""
        return self.item_fields or [
            *("prompt", "question", "context", "passage", "choices", "answer", "response"),
            *("solution", "text"),
        ]


def run(options: Options) -> dict[str, Any]:
    """Reads the benchmarks, searches the records, decides, reads them again and writes."""
    from synthtools.cli.run import Run
    from synthtools.curate.contamination import Contamination, texts_of
    from synthtools.evaluate.harness import PREFIX, task_data
    from synthtools.records.first_records import needs
    from synthtools.records.inputs import find_shards
    from synthtools.records.same_file import refuse_repeated

    def check_items(batch: Batch) -> None:
        """Raises RecordError where a benchmark's first item has no text in the fields."""
        fields = options.fields()
        if not texts_of(batch, fields)[0]:
            names = ", ".join(batch.field_names(0))
            reason = f"no text in {', '.join(fields)} (fields: {names}; use --item-fields)"
            raise RecordError(batch.source, int(batch.numbers[0]), reason, batch.raw(0))

    benchmarks = [
        task_data(name, options.task_files) if name.startswith(PREFIX) else [name]
        for name in options.benchmark
    ]
    beside = [path for paths in benchmarks for path in paths]
    refuse_repeated(find_shards([*(options.files or ["-"]), *beside]))

    with Run(
        "decontaminate",
        options,
        options,
        options.text_field,
        beside=beside,
        plot=options.plot,
        further=None if options.removed is None else (options.removed, "--removed"),
        check=needs([(options.text_field, "--text-field")], []),
        check_beside=check_items,
    ) as run:
        if run.done:
            return run.finish()
        run.shards = run.twice(run.shards)
        items = _items(run, benchmarks, options)
        contamination = Contamination(items, options.min_score, options.min_run)
        names = _search(run, items, contamination, options)
        run.progress.stage("writing, record", contamination.records)
        run.write(_decided(run, contamination, options))
        return run.finish(
            {
                "ngram": options.ngram,
                "min_score": options.min_score,
                "min_run": options.min_run,
                "remove": options.remove,
                **contamination.report(names, _HITS),
            }
        )


def _items(run: Run, benchmarks: list[list[str]], options: Options) -> BenchmarkItems:
    from synthtools.cli.run_inputs import numbers_of
    from synthtools.curate.contamination import BenchmarkItems
    from synthtools.records.inputs import find_shards

    of_shard = numbers_of(("", find_shards(paths)) for paths in benchmarks)
    items = BenchmarkItems(options.benchmark, options.fields(), options.ngram)
    for batch in run.batches_beside():
        items.add(of_shard[batch.source], batch)
    items.settle()
    return items


def _search(
    run: Run, items: BenchmarkItems, contamination: Contamination, options: Options
) -> list[str]:  # fmt: skip
    """The first pass; returns the names of the inputs."""
    from synthtools.cli.run_inputs import numbers_of
    from synthtools.curate.contamination import ItemSearch

    groups = run.groups()
    input_of = numbers_of(groups)
    for work in run.worked(ItemSearch(items), options, records=False):
        contamination.add(work.batch, work.result, input_of[work.batch.source])
        run.count(len(work.batch))
    contamination.settle()
    return [name for name, _ in groups]


def _decided(run: Run, contamination: Contamination, options: Options) -> Iterator[Batch]:
    """The second pass: what stays; records that hold an item are kept aside on the way."""
    from synthtools.cli.run_inputs import no_work
    from synthtools.records.added_column import Column

    done = 0
    for work in run.worked(no_work, options, again=True, texts=True):
        batch = work.batch
        verdicts = [contamination.verdict(done + i) for i in range(len(batch))]
        held = [i for i, (_, _, holds) in enumerate(verdicts) if holds]
        if options.remove == "nothing":
            yield _with_fields(batch, verdicts)
        else:
            if held and run.further is not None:
                run.write_further(_with_fields(batch.take(held), [verdicts[i] for i in held]))
            if options.remove == "passage" and held:
                texts = batch.column(options.text_field)
                for index in held:
                    texts[index] = contamination.without_passages(done + index, texts[index])
                batch = batch.adding({options.text_field: Column("string", texts)})
                held = [i for i in held if not batch.added[options.text_field].values[i].strip()]
            left = [i for i in range(len(batch)) if i not in set(held)]
            if left:
                yield batch.take(left) if held else batch
        done += len(verdicts)
        run.progress.advance(len(verdicts))
    if done != contamination.records:
        raise SynthError("the input has changed while it was read; run it again")


def _with_fields(batch: Batch, verdicts: list[tuple[float, str | None, bool]]) -> Batch:
    from synthtools.records.added_column import Column

    return batch.adding(
        {
            "contamination": Column("float", [score for score, _, _ in verdicts]),
            "contaminated_by": Column("string", [item for _, item, _ in verdicts]),
        }
    )
