"""Train a linear text classifier, and label records with it.

--class NAME=PATH names the training records of each class. Logistic regression on hashed n-grams is
trained on nine tenths of them and tested on the rest (equal texts are on the same side). The
records of input files get label, the most probable class, and score, the probability of the first
class (or of --score-of). --save keeps the classifier; --classifier uses a saved one.

\b
Examples:
  synth classify --class human=human/ --class model=answers/ --save clf.safetensors --json
  synth classify crawl.jsonl --classifier clf.safetensors | synth cat --where 'score>0.9' -o good.jsonl
  synth classify crawl/ --class good=hq/ --class rest=crawl/ --balance -o scored/ --report clf.json

Memory: 8 bytes for each n-gram of the training records (at most --most of each class), and 100 for
each bucket and class; for labelling, one batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from synthtools.cli.kinds import Buckets, Count, FileContent, LabelledPath, NgramLength
from synthtools.cli.options import Inputs, Json, Output, Picture, TextField, Workers
from synthtools.cli.parameters import option, output_file
from synthtools.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from synthtools.cli.run import Run
    from synthtools.curate.text_classifier import TextClassifier
    from synthtools.records.batch import Batch
    from synthtools.records.text_buffer import TextBuffer


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, TextField, Output, Json, Picture, Workers):
    """Options of ``synth classify``."""

    without_inputs: ClassVar[bool] = True

    class_: list[LabelledPath] | None = option(
        help="Training records of a class, a file or directory; repeatable."
    )
    classifier: FileContent | None = option(
        help="Label records with a classifier that --save wrote."
    )
    save: str | None = output_file(help="Save the classifier in this file (safetensors).")
    score_of: str | None = option(
        metavar="CLASS", help="The class whose probability is the score (default: the first)."
    )
    n: list[NgramLength] | None = option(
        commas=True, help="Lengths of the n-grams, in tokens (default: 1,2)."
    )
    buckets: Buckets = option(262_144, help="Number of hash buckets.")
    l2: float = option(
        1.0, metavar="L", min=0, help="Penalty on the weights: L/2 times the sum of their squares."
    )
    balance: bool = option(
        False, help="Weight records so that every class counts the same, whatever its size."
    )
    held_out: float = option(
        0.1,
        metavar="SHARE",
        min=0,
        max=0.9,
        help="Share of each class that is held out for testing.",
    )
    most: Count = option(
        100_000, help="Train on at most N records of each class, sampled by the hash of their text."
    )

    def check(self) -> None:
        super().check()
        if (self.class_ is None) == (self.classifier is None):
            raise UsageError("give --class NAME=PATH for each class, or a --classifier FILE")
        if self.classifier is not None and self.save is not None:
            raise UsageError("--save keeps what --class trains; --classifier is saved already")
        names = [one.name for one in self.class_ or ()]
        if self.class_ is not None and len(names) < 2:
            raise UsageError("--class needs two classes or more")
        if len(set(names)) < len(names):
            raise UsageError("--class: a name is given twice; put its files into one directory")
        if self.score_of is not None and names and self.score_of not in names:
            raise UsageError(f"--score-of {self.score_of}: use {' or '.join(names)}")
        if self.classifier is not None and self.plot is not None:
            raise UsageError("--plot draws how a classifier was tested: it needs --class")

    def prints_report(self) -> bool:
        """Whether it only trains."""
        writes = self.files is not None or self.output is not None or self.format is not None
        return self.class_ is not None and not writes


def run(options: Options) -> dict[str, Any]:
    """Trains a classifier or loads one; labels records."""
    from synthtools.cli.run import Run
    from synthtools.curate.text_classifier import TextClassifier

    writes = not options.prints_report()
    classes = options.class_ or []
    with Run(
        "classify",
        options,
        options if writes else None,
        options.text_field,
        beside=[one.path for one in classes],
        inputs=writes,
        plot=options.plot if writes else None,
    ) as run:
        if run.done:
            return run.finish()
        report: dict[str, Any] = {}
        if options.classifier is not None:
            classifier = TextClassifier.load(options.classifier)
            if options.score_of is not None and options.score_of not in classifier.classes:
                names = " or ".join(classifier.classes)
                raise UsageError(f"--score-of {options.score_of}: use {names}")
        else:
            classifier, report = _trained(run, options)
        positive = options.score_of or classifier.classes[0]
        report = {"classes": list(classifier.classes), "score_of": positive, **report}
        if writes:
            counts = dict.fromkeys(classifier.classes, 0)
            run.write(_labelled(run, classifier, positive, counts, options))
            report["labels"] = counts
        return run.finish(report)


def _trained(run: Run, options: Options) -> tuple[TextClassifier, dict[str, Any]]:
    from synthtools.curate.text_classifier import LabelledTexts, evaluated, trained
    from synthtools.records.batch import MISSING
    from synthtools.records.inputs import find_shards
    from synthtools.records.record_keys import hashes
    from synthtools.text.ngram_buckets import NgramHasher

    given = options.class_ or []
    classes = tuple(one.name for one in given)
    hasher = NgramHasher(tuple(options.n or (1, 2)), options.buckets)
    texts = LabelledTexts(classes, hasher, options.most)

    def work(batch: Batch, buffer: TextBuffer) -> tuple[np.ndarray, Any]:
        keys = hashes([MISSING] * len(batch), buffer.views()).values
        return keys, texts.features(buffer)

    for which, one in enumerate(given):
        for done in run.worked(work, options, shards=find_shards([one.path]), records=False):
            texts.add(which, *done.result)
            if options.prints_report():  # else it is the records to be labelled that are counted
                run.count(len(done.batch))
    train, held = texts.split(options.held_out)
    run.progress.stage("training")
    classifier = trained(train, classes, hasher, options.l2, options.balance)
    if options.save is not None:
        made_with = {"l2": options.l2, "balance": options.balance, "texts": texts.there}
        classifier.save(options.save, made_with)
    positive = classes.index(options.score_of or classes[0])
    return classifier, {
        "n": list(hasher.orders),
        "buckets": hasher.buckets,
        "l2": options.l2,
        "balanced": options.balance,
        "texts": dict(zip(classes, texts.there, strict=True)),
        "trained_on": len(train.labels),
        "test": evaluated(classifier, held, positive),
    }


def _labelled(
    run: Run, classifier: TextClassifier, positive: str, counts: dict[str, int], options: Options
) -> Iterator[Batch]:
    from synthtools.records.added_column import Column

    column = classifier.classes.index(positive)

    for done in run.worked(lambda _, texts: classifier.probabilities(texts), options):
        labels = [classifier.classes[i] for i in done.result.argmax(axis=1).tolist()]
        for label in labels:
            counts[label] += 1
        score = Column("float", done.result[:, column].tolist())
        yield done.batch.adding({"label": Column("string", labels), "score": score})
