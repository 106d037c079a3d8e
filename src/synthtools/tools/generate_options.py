"""The options of ``synth generate``: prompts, sampling, protocols, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli import quantities
from synthtools.cli.model_options import Bos, Cached, Engine
from synthtools.cli.parameters import Group, option
from synthtools.errors import SynthError, UsageError
from synthtools.records.shapes import ShapeName

if TYPE_CHECKING:
    from synthtools.curate.prompts import PromptBuilder
    from synthtools.curate.templates import Template
    from synthtools.lm.generation import Generator, SamplingSettings
    from synthtools.lm.model_settings import ModelSettings


def text_of(value: str) -> str:
    """A text, read from a file where it begins with @."""
    return _content(value[1:]) if value.startswith("@") else value


def _content(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SynthError(f"{name}: cannot be read ({error})") from error


def _template(value: str) -> Template:
    from synthtools.curate.templates import Template

    return Template(text_of(value))


@dataclass(frozen=True)
class Prompts(Group):
    """What a model is asked."""

    group = "Options"
    prompt_field: str | None = option(
        None,
        metavar="FIELD",
        help="The field that holds the prompt: a text, or a list of {role, content}. Default "
        "prompt; text with --style and --continue.",
    )
    shape: ShapeName | None = option(
        None,
        help="The prompt is that of records of this shape, up to the answer. By default it is the "
        "field prompt, else what the fields of a record show.",
    )
    template: Any = option(
        None,
        metavar="TEXT|@FILE",
        parse=_template,
        help="Build the prompt from several fields: 'Summarise: {text}'. {{ and }} are braces.",
    )
    context_field: str | None = option(
        None, metavar="FIELD", help="Put the text of this field before the prompt."
    )
    system: str | None = option(
        None, metavar="TEXT|@FILE", parse=text_of, help="System message of each conversation."
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
    samples: int = option(1, "-n", metavar="N", min=1, help="Answers per prompt, one record each.")
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
    top_k: int | None = option(
        None, metavar="K", min=1, help="Draw from the K most probable tokens."
    )
    max_new_tokens: int = option(
        1024,
        metavar="N",
        min=1,
        help="Maximum tokens of an answer (Baskets: 1,024); fewer where the context ends.",
    )
    stop: list[str] | None = option(
        None, metavar="TEXT", help="End an answer before this text; repeatable."
    )
    schema: str | None = option(
        None,
        metavar="FILE",
        parse=_content,
        help="JSON schema that answers must follow (vLLM, and servers that support it).",
    )
    regex: str | None = option(
        None,
        metavar="REGEX",
        help="Regular expression that answers must match (vLLM and its servers).",
    )
    assign: Literal["single", "stratified"] = option(
        "single",
        help="With several models: each answers every prompt (single-source sets), or each answers "
        "an equal share (a multi-source set; Baskets, arXiv 2511.01490).",
    )
    stratify_by: str | None = option(
        None,
        metavar="FIELD",
        help="With --assign stratified: equal shares within each value of this field.",
    )
    response_field: str | None = option(
        None,
        metavar="FIELD",
        help="Field for the answer (default response, which a record must not have; a field that "
        "is named here is replaced).",
    )
    model_field: str | None = option(
        None, metavar="FIELD", help="Field for the model's name (default model, likewise)."
    )

    def sampling(self) -> SamplingSettings:
        """The options as ``lm`` takes them."""
        from synthtools.lm.generation import SamplingSettings

        return SamplingSettings(
            self.temperature,
            self.top_p,
            self.top_k,
            self.max_new_tokens,
            tuple(self.stop or ()),
            self.schema,
            self.regex,
        )


@dataclass(frozen=True)
class Protocol(Prompts, Answers):
    """The protocols of the papers."""

    group = "Options"
    style: Literal["wrap-easy", "wrap-medium", "wrap-hard", "wrap-qa"] | None = option(
        None, help="Rephrase documents in one of the styles of WRAP (arXiv 2401.16380)."
    )
    continue_: int | None = option(
        None,
        metavar="TOKENS",
        min=1,
        help="Continue the first TOKENS of each document (iterative collapse, arXiv 2305.17493: "
        "64), which are added as beginning.",
    )
    self_instruct: int | None = option(
        None,
        metavar="N",
        min=1,
        help="Generate N new tasks from the prompts (Self-Instruct, arXiv 2212.10560): 8 examples, "
        "at most 2 of them generated; kept if ROUGE-L with every other is at most 0.7.",
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
    answer_field: str = option(
        "answer",
        metavar="FIELD",
        help="The right answer, for --rationale and --extrapolate-errors; of a longer solution the "
        "part after ####.",
    )
    wrong_field: str | None = option(
        None, metavar="FIELD", help="The small model's answer, for --extrapolate-errors."
    )

    @property
    def protocol(self) -> str:
        """The protocol's name.

        Raises:
            UsageError: several are asked for.
        """
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
        if self.extrapolate_errors:
            return ()  # its records are new ones
        fields = (("response", self.response_field), ("model", self.model_field))
        return tuple(name for name, given in fields if given is None)


@dataclass(frozen=True)
class Generators(Engine, Cached):
    """Models that answer, each for itself, and how servers are asked."""

    model: list[str] | None = option(  # type: ignore[assignment]
        None,
        "-m",
        metavar="MODEL",
        help="A model that answers: builtin (the default), a directory, a Hub id, or a name that a "
        "server knows; repeatable. Pickle weights are never loaded; code from a model's repository "
        "is never run.",
    )
    context: int | None = option(
        None,
        metavar="TOKENS",
        min=2,
        help="Maximum tokens of prompt and answer together (default: the model's own length). A "
        "prompt that leaves no room is a bad record; nothing is truncated.",
    )
    bos: Bos = option(
        "auto",
        help="Prepend the begin-of-text token to a text that is continued; auto: as the tokenizer "
        "does. Conversations begin as their template says.",
    )
    server: list[str] | None = option(  # type: ignore[assignment]
        None,
        metavar="URL",
        help="An OpenAI-compatible server, such as http://127.0.0.1:8000; repeatable. Requests for "
        "a model go to all servers that have it.",
    )
    kv_cache: int | None = option(
        None,
        metavar="SIZE",
        parse=quantities.size_in_bytes,
        help="Size of vLLM's key-value cache (default: the rest of a GPU's memory, at most 2GB on "
        "a CPU).",
    )

    def names(self) -> list[str]:
        """The models asked for."""
        return self.model or ["builtin"]

    def settings(self, name: str | None = None) -> ModelSettings:
        """The options as ``lm`` takes them (see ``LoadedModel``)."""
        first = self.server[0] if self.server else None
        return replace(super().settings(name), server=first)

    def opened(
        self, name: str, sampling: SamplingSettings, seed: int, tell: Callable[[str], None]
    ) -> Generator:
        """One of the models, to be closed by the caller; ``tell`` takes remarks."""
        from synthtools.lm.open_models import open_generator

        return open_generator(
            self.settings(name=name),
            sampling,
            seed,
            tell,
            servers=(self.server or [])[1:],
        )


@dataclass(frozen=True)
class Asking(Protocol, Generators):
    """What is asked of which models."""

    def prompt_builder(self) -> PromptBuilder:
        """How records become prompts."""
        from synthtools.curate import beginnings, error_extrapolation, prompts, rationales
        from synthtools.curate.templates import Template

        if self.rationale:
            return rationales.prompts(self.field, self.answer_field, self.system)
        if self.extrapolate_errors:
            return error_extrapolation.prompts(
                self.field, self.answer_field, self.wrong_field, self.system
            )
        if self.continue_ is not None:
            from synthtools.lm.open_models import open_tokenizer

            tokenizer = open_tokenizer(self.settings(name=self.names()[0]).model)
            return beginnings.prompts(self.field, self.continue_, tokenizer)
        template = self.template
        if self.style is not None:
            template = Template(f"{prompts.STYLES[self.style]}\n\n{{{self.field}}}")
        if template is not None:
            return prompts.from_template(template, self.context_field, self.system, self.plain)
        if self.prompt_field is None and self.context_field is None:
            return prompts.from_shape(self.shape, self.system, self.plain)
        return prompts.from_field(self.field, self.context_field, self.system, self.plain)
