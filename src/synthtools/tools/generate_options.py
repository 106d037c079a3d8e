"""The options of ``synth generate``: prompts, sampling, protocols, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synthtools.cli.kinds import ByteSize, Context, FieldName, ModelId, Positive, TopK, Url
from synthtools.cli.model_options import Bos, Cached, Engine
from synthtools.cli.parameters import Group, option
from synthtools.errors import SynthError, UsageError
from synthtools.records.shapes import ShapeName

if TYPE_CHECKING:
    from synthtools.curate.reshaped_records import Template
    from synthtools.lm.generation import Generator, SamplingSettings
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.lm.server.rate_limit import TrafficLimits


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

    def opened(
        self,
        name: str,
        sampling: SamplingSettings,
        seed: int,
        tell: Callable[[str], None],
        limits: TrafficLimits | None = None,
    ) -> Generator:
        """One of the models, to be closed by the caller. ``tell``: takes remarks; ``limits``: see
        ``open_model``."""
        from synthtools.lm.open_models import open_generator

        return open_generator(
            self.settings(name=name),
            sampling,
            seed,
            tell,
            servers=(self.server or [])[1:],
            limits=limits,
        )
