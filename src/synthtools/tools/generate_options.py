"""The options of ``synth generate``: what is asked, how answers are sampled, who answers, and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli import quantities
from synthtools.cli.kinds import (
    ByteSize,
    Context,
    FieldName,
    FileName,
    ModelId,
    Positive,
    TopK,
    Url,
)
from synthtools.cli.model_options import Bos, Cached, Engine
from synthtools.cli.parameters import Group, option, output_file
from synthtools.errors import SynthError, UsageError
from synthtools.records.shapes import ShapeName

if TYPE_CHECKING:
    from synthtools.curate.reshaped_records import Template
    from synthtools.lm.generation import SamplingSettings
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.lm.token_budget import Prices

Style = Literal[
    "wrap-easy", "wrap-medium", "wrap-hard", "wrap-qa",
    "beyondweb-qa", "beyondweb-teaching", "beyondweb-dense", "beyondweb-summary",
    "concepts", "synthllm-1", "synthllm-2", "synthllm-3",
]  # fmt: skip


def text_of(value: str) -> str:
    """A text, read from a file where it begins with @."""
    return _content(value[1:]) if value.startswith("@") else value


def _content(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SynthError(f"{name}: cannot be read ({error})") from error


def _template(value: str) -> Template:
    from synthtools.curate.reshaped_records import Template, template_of

    return Template(text_of(value)) if value.startswith("@") else template_of(value)


@dataclass(frozen=True)
class Prompts(Group):
    """What a model is asked."""

    group = "Options"
    prompt_field: FieldName | None = option(
        help="The field that holds the prompt: a text, or a list of {role, content}. Default "
        "prompt; text with --style and --continue."
    )
    shape: ShapeName | None = option(
        help="The prompt is that of records of this shape, up to the answer. By default it is the "
        "field prompt, otherwise the shape is recognised by the fields."
    )
    template: Any = option(
        metavar="TEXT|@FILE",
        parse=_template,
        help="Build the prompt from several fields: 'Summarise:\\n\\n{text}'. \\n, \\t and \\\\ are newline, tab "
        "and backslash (not in a file, which is taken as it is); {{ and }} are braces.",
    )
    context_field: FieldName | None = option(help="Put the text of this field before the prompt.")
    system: str | None = option(
        metavar="TEXT|@FILE", parse=text_of, help="System message of each conversation."
    )
    plain: bool = option(
        False,
        help="Continue the prompt as it is, without a conversation. By default the prompt is a "
        "user message, rendered by the model's chat template, or as User: … Assistant: for a model "
        "that has none [ours].",
    )

    def check(self) -> None:
        super().check()
        if self.template is not None and self.prompt_field is not None:
            raise UsageError(
                "--template names its fields itself; it does not go with --prompt-field"
            )
        if self.shape and (self.prompt_field or self.context_field or self.template):
            raise UsageError("--shape says where the prompt is: it goes with no field of it")
        if self.plain and self.system is not None:
            raise UsageError("--plain has no conversation for --system")


@dataclass(frozen=True)
class Answers(Group):
    """How answers are sampled, and where they go."""

    group = "Options"
    samples: Positive = option(1, "-n", help="Answers per prompt, one record each.")
    temperature: float = option(
        0.7, metavar="T", min=0.0, help="Sampling temperature (Baskets: 0.7); 0 is greedy decoding."
    )
    top_p: float = option(
        0.9,
        metavar="P",
        min=0.0,
        max=1.0,
        help="Draw from the fewest tokens that together have probability P (Baskets: 0.9).",
    )
    top_k: TopK | None = option(help="Draw from the K most probable tokens.")
    max_new_tokens: Positive = option(
        1024, help="Maximum tokens of an answer (Baskets: 1,024); fewer where the context ends."
    )
    stop: list[str] | None = option(
        metavar="TEXT", help="End an answer before this text; repeatable."
    )
    schema: str | None = option(
        metavar="FILE",
        parse=_content,
        help="JSON schema that answers must follow (vLLM, and servers that support it).",
    )
    regex: str | None = option(
        metavar="REGEX", help="Regular expression that answers must match (vLLM and its servers)."
    )
    assign: Literal["single", "stratified"] = option(
        "single",
        help="With several models: each answers every prompt (single-source sets), or each answers "
        "an equal share (a multi-source set; Baskets, arXiv 2511.01490).",
    )
    stratify_by: FieldName | None = option(
        help="With --assign stratified: equal shares within each value of this field."
    )
    response_field: FieldName | None = option(
        help="Field for the answer (default response, which a record must not have; a field that "
        "is named here is replaced)."
    )
    model_field: FieldName | None = option(
        help="Field for the model's name (default model, likewise)."
    )

    def sampling(self) -> SamplingSettings:
        """The options as ``lm`` takes them."""
        from synthtools.lm.generation import SamplingSettings

        draws = self.temperature, self.top_p, self.top_k, self.max_new_tokens
        return SamplingSettings(*draws, tuple(self.stop or ()), self.schema, self.regex)


@dataclass(frozen=True)
class Protocols(Prompts, Answers):
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
class Costs(Group):
    """What answers may cost, and answers that come later, in files."""

    group = "Options"
    dry_run: bool = option(
        False,
        help="Answer 16 of the prompts, print estimates for all of them (tokens, time, cost), and write "
        "nothing.",
    )
    price_in: float = option(
        0.0, metavar="PRICE", min=0.0, help="Price of a million tokens of prompts, for the report."
    )
    price_out: float = option(
        0.0, metavar="PRICE", min=0.0, help="Price of a million tokens of answers."
    )
    budget: quantities.Budget | None = option(
        metavar="tokens=N|cost=X",
        parse=quantities.budget,
        help="Stop once prompts and answers have used so many tokens, or cost so much. Requests in flight "
        "are still answered and kept; --resume with a larger budget continues.",
    )
    batch_out: str | None = output_file(
        help="Send nothing: write the requests to this file, in OpenAI's batch format; beyond 50,000 of them "
        "or 200 MB they continue in FILE-2, FILE-3, …"
    )
    batch_in: list[FileName] | None = option(
        help="Take the answers from the results of such a batch, with the other arguments as for "
        "--batch-out; repeatable. A prompt without a result, or whose request failed, is a bad record."
    )

    def prices(self) -> Prices:
        """Per million tokens."""
        from synthtools.lm.token_budget import Prices

        return Prices(self.price_in, self.price_out)

    @property
    def in_files(self) -> bool:
        """Whether requests or answers are in files, and no model is opened."""
        return bool(self.batch_out or self.batch_in)


@dataclass(frozen=True)
class Generators(Engine, Cached):
    """Models that answer, each for itself, and how servers are asked."""

    model: list[ModelId] | None = option(  # type: ignore[assignment]
        None,
        "-m",
        help="A model that answers: builtin (the default), a directory, a Hub id, or a name that a "
        "server knows; repeatable. Pickle weights are never loaded; code from a model's repository "
        "is never run.",
    )
    context: Context | None = option(
        help="Maximum tokens of prompt and answer together (default: the model's own length). A "
        "prompt that leaves no room is a bad record; nothing is truncated."
    )
    bos: Bos = option(
        "auto",
        help="Prepend the begin-of-text token to a text that is continued; auto: as the tokenizer "
        "does. Conversations begin as their template says.",
    )
    server: list[Url] | None = option(  # type: ignore[assignment]
        help="An OpenAI-compatible server, such as http://127.0.0.1:8000; repeatable. Requests for "
        "a model go to all servers that have it."
    )
    kv_cache: ByteSize | None = option(
        help="Size of vLLM's key-value cache (default: the rest of a GPU's memory, at most 2GB on "
        "a CPU)."
    )

    def names(self) -> list[str]:
        """The models asked for."""
        return self.model or ["builtin"]

    def settings(self, name: str | None = None) -> ModelSettings:
        """The options as ``lm`` takes them (see ``LoadedModel``)."""
        first = self.server[0] if self.server else None
        return replace(super().settings(name), server=first)
