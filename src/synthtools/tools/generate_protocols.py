"""The options of ``synth generate`` about the protocols of the papers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from synthtools.cli.kinds import FieldName, Positive
from synthtools.cli.options import Seed
from synthtools.cli.parameters import option
from synthtools.errors import UsageError
from synthtools.tools.generate_options import Answers, Generators, Prompts

if TYPE_CHECKING:
    from synthtools.curate.prompts import PromptBuilder, PromptedRecords
    from synthtools.lm.generation import Generator, Prompt
    from synthtools.records.batch import Batch
    from synthtools.records.rejects import Rejects


Style = Literal[
    "wrap-easy",
    "wrap-medium",
    "wrap-hard",
    "wrap-qa",
    "beyondweb-qa",
    "beyondweb-teaching",
    "beyondweb-dense",
    "beyondweb-summary",
    "concepts",
    "synthllm-1",
    "synthllm-2",
    "synthllm-3",
]


@dataclass(frozen=True)
class Protocol(Prompts, Answers):
    """The protocols of the papers."""

    group = "Options"
    style: Style | None = option(
        help="Rephrase documents in a style of WRAP (arXiv 2401.16380) or BeyondWeb (arXiv 2508.10975; its names are "
        "ours); or generate questions as in SynthLLM (arXiv 2503.19551): synthllm-1 asks one about each document; "
        "concepts extracts the concepts of a document into the field concepts, from which synthllm-2 asks one that "
        "combines concepts of the document, and synthllm-3 makes new records that combine concepts along random "
        "walks on the concept graph of all documents."
    )
    passages: int | None = option(
        metavar="WORDS",
        min=1,
        help="With a style of WRAP or BeyondWeb: split documents at sentence boundaries into passages of at most "
        "so many words (WRAP: 300 tokens), rephrase each as a separate answer (--max-new-tokens, --validate), and "
        "join them. A document with a refused passage is a bad record. Adds passages, their number.",
    )
    combinations: Positive | None = option(
        help="Number of walks of --style synthllm-3, one record each (default: the number of documents)."
    )
    concept_field: FieldName = option(
        "concepts",
        help="Field of the concepts for synthllm-2 and synthllm-3: the output of --style concepts, or a list.",
    )
    continue_: int | None = option(
        metavar="TOKENS",
        min=1,
        help="Continue the first TOKENS of each document (iterative collapse, arXiv 2305.17493: "
        "64), which are added as beginning.",
    )
    self_instruct: Positive | None = option(
        help="Generate N new tasks from the prompts (Self-Instruct, arXiv 2212.10560): 8 examples, "
        "at most 2 of them generated; kept if ROUGE-L with every other is at most 0.7."
    )
    rationale: bool = option(
        False,
        help="Generate reasoning and keep it if it leads to the answer in --answer-field; a second "
        "attempt gets that answer as a hint (STaR, arXiv 2203.14465). Adds rationale: direct or "
        "hinted.",
    )
    extrapolate_errors: bool = option(
        False,
        help="The records are items that a small model got wrong: generate a new item like each "
        "(S3, arXiv 2310.13671).",
    )
    answer_field: FieldName = option(
        "answer",
        help="The right answer, for --rationale and --extrapolate-errors; of a longer solution the "
        "part after ####.",
    )
    wrong_field: FieldName | None = option(
        help="The small model's answer, for --extrapolate-errors."
    )

    @property
    def protocol(self) -> str:
        """The protocol's name. Raises UsageError: several are asked for."""
        asked = {
            self.style or "style": self.style is not None,
            "self-instruct": self.self_instruct is not None,
            "rationale": self.rationale,
            "extrapolate-errors": self.extrapolate_errors,
            "continue": self.continue_ is not None,
        }
        names = [name for name, given in asked.items() if given]
        if len(names) > 1:
            raise UsageError(f"{' and '.join(names)} are protocols of their own; give one")
        return names[0] if names else "answer"

    @property
    def field(self) -> str:
        """The field that holds what is asked."""
        texts = self.style is not None or self.continue_ is not None
        return self.prompt_field or ("text" if texts else "prompt")

    def taken(self) -> tuple[str, ...]:
        """Fields that records must not have yet."""
        if self.extrapolate_errors or self.style == "synthllm-3":
            return ()  # its records are new ones
        given = (self.response_field, self.model_field)
        return tuple(n for n, one in zip(self.written(), given, strict=True) if one is None)

    def written(self) -> tuple[str, str]:
        """The fields that take an answer and its model's name."""
        own = ("concepts", "concepts_model") if self.style == "concepts" else ("response", "model")
        return self.response_field or own[0], self.model_field or own[1]


@dataclass(frozen=True)
class Asking(Protocol, Generators, Seed):
    """What is asked of which models."""

    def asked(self, batches: Iterable[Batch], rejects: Rejects) -> Iterator[PromptedRecords]:
        """Records with their prompts: those that were read, or new ones that are made of them."""
        from synthtools.curate import concept_graph, prompts

        builder = self.prompt_builder()
        if self.style == "synthllm-3":
            graph = concept_graph.graph_of(batches, builder, rejects)
            batches = graph.records(self.seed, self.combinations or len(graph))
            builder = prompts.from_field("prompt", None, self.system)
        return prompts.prompted(batches, builder, rejects, self.taken())

    def prompt_builder(self) -> PromptBuilder:
        """How records become prompts."""
        from synthtools.curate import (
            concept_graph,
            error_extrapolation,
            passages,
            prompts,
            rationales,
        )
        from synthtools.curate.reshaped_records import Template

        if self.rationale:
            return rationales.prompts(self.field, self.answer_field, self.system)
        if self.extrapolate_errors:
            return error_extrapolation.prompts(
                self.field, self.answer_field, self.wrong_field, self.system
            )
        if self.continue_ is not None:
            from synthtools.lm.open_models import open_tokenizer

            tokenizer = open_tokenizer(self.settings(name=self.names()[0]).model)
            return prompts.from_beginning(self.field, self.continue_, tokenizer)
        if self.passages is not None:
            return passages.prompts(self.field, self.system)
        if self.style in ("synthllm-2", "synthllm-3"):
            return concept_graph.prompts(self.field, self.concept_field, self.seed, self.system)
        template = self.template
        if self.style is not None:
            styles = prompts.STYLES | concept_graph.STYLES
            template = Template(f"{styles[self.style]}\n\n{{{self.field}}}")
        if template is not None:
            return prompts.from_template(template, self.context_field, self.system, self.plain)
        if self.prompt_field is None and self.context_field is None:
            return prompts.from_shape(self.shape, self.system, self.plain)
        return prompts.from_field(self.field, self.context_field, self.system, self.plain)

    def passages_of(self, prompt: Prompt) -> int:
        """How many passages a document is cut into; 1 where it is asked as a whole."""
        from synthtools.curate.passages import passages

        if self.passages is None or not prompt.messages:
            return 1
        return len(passages(prompt.messages[-1]["content"], self.passages))

    def by_passage(self, generator: Generator) -> Generator:
        """A generator that answers to documents passage by passage, where that is asked for."""
        from synthtools.curate.passages import PassageAnswers
        from synthtools.curate.prompts import STYLES

        if self.passages is None or self.style is None:
            return generator
        return PassageAnswers(generator, STYLES[self.style], self.passages)
