"""Report how two or more corpora differ, in plain sentences, on one page.

Seven questions, each with a sentence, effect sizes and intervals: is the other corpus easier to predict, is it
narrower, which words give it away, does it repeat itself or the reference, does it cover the same topics, is
its form the same, can a simple classifier distinguish them. A difference is claimed only if its interval
excludes the value expected without a difference; the level is corrected for all questions and corpora, so
that two halves of one corpus are reported as different in at most 5 % of cases. Then typical and extreme
documents, and suggestions.

Each corpus is read once. Duplicates, words and form take every document; vocabulary, vectors and the
classifier take samples; the language model scores the first --max-tokens of a sample that takes about a
minute [ours]. The size of that sample is 100, 200, 500, 1,000 or 2,000, by the time for the first documents:
set --sample for the same size on every machine. Measures that depend on length are compared over equal
lengths: the lower quartile of the corpus with shorter documents, and documents that reach it.

The first corpus is the reference, or --reference; every other one is compared with it. --fail-if makes a gate
for data pipelines: names are those of pairs[].numbers in the report.

\b
Examples:
  synth compare human.jsonl synthetic.jsonl -o report.html
  synth compare human.jsonl gen1.jsonl gen2.jsonl gen3.jsonl --model smollm2 --sample 200
  synth compare human.jsonl new.jsonl --fail-if 'near_duplicates.between > 0.02' --fail-if 'perplexity.ratio < 0.5'
  synth compare a.jsonl b.jsonl --json | jq '.pairs[0].answers[] | select(.differs).sentence'

With -o an interrupted run keeps the scores of the language model; --resume continues with them.

Memory: the models; 450 bytes per document; at most 40 kB per sampled document (4,000 per corpus).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthtools.cli.kinds import FieldName, FileName, ModelId
from synthtools.cli.model_options import LoadedModel, Model
from synthtools.cli.options import Inputs, Jobs, Picture, Report, Seed
from synthtools.cli.parameters import option
from synthtools.cli.text_shape import ShapedText
from synthtools.errors import OutputExistsError, PartialReportError, SynthError, UsageError
from synthtools.records.atomic_files import write_whole
from synthtools.reports.document import encoded

if TYPE_CHECKING:
    import numpy as np

    from synthtools.cli.run import Run
    from synthtools.measure.compared_corpus import ComparedCorpus
    from synthtools.measure.corpus_comparison import ModelledSample
    from synthtools.records.batch import Batch
    from synthtools.records.value_journal import ValueJournal

_BY_WORDS = 1000  # documents of a corpus whose vectors are of words


def _condition(text: str) -> Any:
    from synthtools.reports.compare import GateCondition, gate_names

    return GateCondition.of(text, gate_names())


@dataclass(frozen=True, kw_only=True)
class Options(Inputs, ShapedText, Report, Picture, Seed, Model, Jobs):
    """Options of ``synth compare``."""

    output: FileName | None = option(
        None,
        "-o",
        help="Write the page to this file (.html): one file that loads nothing (needs [plot]).",
    )
    force: bool = option(False, help="Overwrite an existing page.")
    resume: bool = option(
        False,
        help="Continue an interrupted run of the same arguments and inputs with the scores that it kept "
        "(beside FILE in .FILE.scores.jsonl).",
    )
    reference: FileName | None = option(
        help="The input that the others are compared with (default: the first)."
    )
    sample: int | None = option(
        metavar="N",
        min=10,
        max=4000,
        help="Documents of each corpus that the model scores and embeds, drawn by the seed (default: "
        "by a time budget of about a minute).",
    )
    max_tokens: int = option(
        256, metavar="N", min=16, help="Score and embed the first N tokens of a document."
    )
    vector_model: ModelId = option(
        "words",
        help="Where vectors come from: words (latent semantic analysis of the first 300 words of 1,000 "
        "documents of each corpus) or the hidden states of a model over what is scored (see synth embed).",
    )
    prompt_field: FieldName | None = option(
        help="Field that identifies the prompt of a document: the classifier is never tested on a prompt "
        "that it was trained on. Equal ids count as one prompt anyway."
    )
    fail_if: list[Any] | None = option(
        metavar="NAME OP NUMBER",
        parse=_condition,
        help="Exit with 1 if this holds for any corpus: near_duplicates.between > 0.02 (operators: < "
        "<= > >=); repeatable.",
    )

    def check(self) -> None:
        super().check()
        names = self.files or ["-"]
        if len(names) < 2:
            raise UsageError("name two corpora or more: synth compare HUMAN OTHER")
        if self.reference is not None and self.reference not in names:
            raise UsageError(
                f"--reference {self.reference}: is none of the inputs ({', '.join(map(str, names))})"
            )
        if self.output is not None:
            if Path(self.output).suffix.lower() not in (".html", ".htm"):
                raise UsageError(f"-o {self.output}: name a .html file")
            if Path(self.output).exists() and not self.force:
                raise OutputExistsError(f"{self.output}: already there; --force replaces it")
            from synthtools.cli.publish import require_figures

            require_figures("-o", self.output)
        if self.resume and (self.output is None or self.force):
            raise UsageError(
                "--resume continues, --force starts over: give one of them"
                if self.force
                else "--resume needs an output: -o FILE"
            )
        self.settings()


def run(options: Options) -> dict[str, Any]:
    """Reads the corpora once, compares each with the reference, and writes the page."""
    from synthtools.cli.run import Run
    from synthtools.curate.text_classifier import held_out_scores
    from synthtools.measure.corpus_comparison import CorpusComparison
    from synthtools.records.first_records import needs
    from synthtools.reports.compare import ShownReport, failures, with_sentences

    prompts = [(options.prompt_field, "--prompt-field")] if options.prompt_field else []

    def check(first: Batch) -> None:
        needs([(options.text_in(first), "--text-field")], prompts)(first)

    with (
        ExitStack() as stack,
        Run("compare", options, None, options.text_field, apart=True, check=check) as run,
    ):
        journal = _journal(run, options, stack)
        corpora = _read(run, options)
        samples, examples = _modelled(run, options, corpora, journal)
        comparison = CorpusComparison(corpora, samples, options.seed)
        report = comparison.report(held_out_scores, options.max_tokens, run.progress.stage)
        for pair, other in zip(report["pairs"], corpora[1:], strict=True):
            pair["remedies"] = remedies(pair, corpora[0].path, other.path, other.documents)
        shown = ShownReport(run.finish(with_sentences({**report, "examples": examples})))
        if journal is not None:
            page = encoded(shown.page())
            write_whole(Path(str(options.output)), page, options.force, claimed=True)
            journal.remove()
    failed = failures(shown["pairs"], options.fail_if or [])
    if failed:
        raise PartialReportError("; ".join(failed), shown)
    return shown


def _journal(run: Run, options: Options, stack: ExitStack) -> ValueJournal | None:
    """What keeps the scores of a run that may be killed; None without a page."""
    from synthtools.cli.run_journal import open_journal
    from synthtools.records.output_lock import OutputLock

    if options.output is None:
        return None

    page = Path(options.output)
    stack.enter_context(OutputLock.of_file(page))
    return open_journal(
        page.with_name(f".{page.name}.scores.jsonl"),
        page,
        "scored batches",
        run.job(),
        stack,
        resume=options.resume,
        force=options.force,
    )


def _read(run: Run, options: Options) -> list[ComparedCorpus]:
    """The corpora, the reference first."""
    from synthtools.measure.compared_corpus import ComparedCorpus, batch_facts, short_names
    from synthtools.records.record_keys import ID_FIELD

    groups = run.groups()
    names = short_names([name for name, _ in groups])
    fields = [ID_FIELD, *([options.prompt_field] if options.prompt_field else [])]
    corpora = []
    run.units["bytes"] = 0
    for name, (path, shards) in zip(names, groups, strict=True):
        corpus = ComparedCorpus(name, path, options.seed)
        for one in run.worked(
            batch_facts(options.prompt_field),
            options,
            shards=shards,
            fields=fields,
            text_field=options.text_of(shards, path),
            records=False,
            texts=True,
        ):
            corpus.add(one.batch, one.texts, one.result, one.text_bytes)
            run.units["bytes"] += one.text_bytes
            run.count(len(one.batch))
        if not corpus.documents:
            raise SynthError(f"{path}: no records to compare")
        corpora.append(corpus)
    reference = options.reference or corpora[0].path
    return sorted(corpora, key=lambda one: one.path != reference)


def _modelled(
    run: Run, options: Options, corpora: list[ComparedCorpus], journal: ValueJournal | None
) -> tuple[list[ModelledSample], list[dict[str, Any]]]:
    """The samples under the models, and typical and extreme documents of each."""
    from synthtools.cli.terminal import remark
    from synthtools.lm.open_models import open_model
    from synthtools.lm.scores import ScoreRequest
    from synthtools.measure.corpus_comparison import ModelledSample
    from synthtools.measure.scored_sample import examples, scored_samples

    documents = [corpus.sample() for corpus in corpora]
    texts = [[document.text for document in some] for some in documents]
    progress = run.progress
    with open_model(options.settings(), ScoreRequest(), remark) as model:
        run.model = model.description
        scored = scored_samples(
            *(model, texts, options.sample, options.max_tokens),
            *(progress.stage, progress.advance, journal),
        )
        modelled = [
            one
            for corpus, some, scores in zip(corpora, documents, scored, strict=True)
            for one in examples(corpus.name, some, scores, model.tokenizer)
        ]
    vectors = _vectors(run, options, texts, [len(one) for one in scored])
    samples = [
        ModelledSample(some, scores, *rows)
        for some, scores, rows in zip(documents, scored, vectors, strict=True)
    ]
    return samples, modelled


def _vectors(
    run: Run, options: Options, texts: list[list[str]], scored: list[int]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vectors of the first documents of each sample, and which have one."""
    import numpy as np

    if options.vector_model == "words":
        from synthtools.measure.projection import word_vectors

        some = [one[:_BY_WORDS] for one in texts]
        vectors, there = word_vectors([text for one in some for text in one])
        ends = np.cumsum([len(one) for one in some])[:-1]
        return list(zip(np.split(vectors, ends), np.split(there, ends), strict=True))
    from synthtools.cli.terminal import remark
    from synthtools.lm.embedding_model import open_embedding_model
    from synthtools.measure.scored_sample import embedded_texts

    run.progress.stage("documents embedded", sum(scored))
    settings = LoadedModel.settings(options, name=options.vector_model)
    with open_embedding_model(settings, most=options.max_tokens, remark=remark) as model:
        return [
            embedded_texts(model, one[:count], run.progress.advance)
            for one, count in zip(texts, scored, strict=True)
        ]


_MUCH = 0.01  # share of copies


def remedies(
    pair: Mapping[str, Any], reference: str, other: str, documents: int
) -> list[dict[str, str]]:
    """Commands of ``synth``, each with the finding that it is for. ``reference``, ``other``: paths of the
    inputs; ``documents``: of the other."""
    numbers = pair["numbers"]
    differs = {answer["question"]: answer["differs"] for answer in pair["answers"]}
    narrower = any(
        effect["differs"] and effect["value"] < 1
        for answer in pair["answers"]
        if answer["question"] == "diversity"
        for effect in answer["effects"]
    )
    one, two = shlex.quote(reference), shlex.quote(other)
    stem = shlex.quote(pair["other"])
    proposals = []

    def add(finding: str, command: str) -> None:
        proposals.append({"finding": finding, "command": f"synth {command}"})

    near = numbers["near_duplicates"]
    if near["between"]:
        add("copies of the reference", f"dedup {two} --near --against {one} -o {stem}.new.jsonl")
    if near["within_other"] > _MUCH:
        add("copies within", f"dedup {two} --near -o {stem}.unique.jsonl")
    if differs["coverage"] or differs.get("keywords"):
        add(
            "other topics or words: take what is most like the reference",
            f"dsir {two} --target {one} -n {max(1, documents // 2)} -o {stem}.chosen.jsonl",
        )
    ratio = numbers["perplexity"]["ratio"]
    if differs["perplexity"] and ratio is not None and ratio < 1:
        add(
            "easy to predict: keep human text in the mixture",
            f"mix {one}=0.75 {two}=0.25 -o mixed.jsonl",
        )
        add(
            "easy to predict: edit human text instead of training on generated text",
            f"edit {one} --threshold 0.99 -o edited.jsonl",
        )
    elif narrower:
        add("narrow: keep human text in the mixture", f"mix {one}=0.75 {two}=0.25 -o mixed.jsonl")
    return proposals
