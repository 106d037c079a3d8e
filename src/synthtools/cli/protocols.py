"""The protocols of ``synth generate`` by their options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from synthtools.cli.generators import Generators
from synthtools.cli.options import Jobs
from synthtools.curate import asking, beginnings, extrapolating, reasoning, wordings
from synthtools.curate.asking import Asking, Template
from synthtools.errors import SynthError, UsageError


@dataclass(frozen=True)
class Generating:
    """What is asked and how answers are written; the options of the command."""

    prompt_field: str | None
    context_field: str | None
    template: str | None
    system: str | None
    plain: bool
    samples: int
    assign: str
    stratify_by: str | None
    style: str | None
    self_instruct: int | None
    rationale: bool
    extrapolate_errors: bool
    go_on: int | None
    answer_field: str
    wrong_field: str | None
    response_field: str | None
    model_field: str | None
    seed: int

    @property
    def protocol(self) -> str:
        """The protocol's name.

        Raises:
            UsageError: several are asked for.
        """
        asked = [
            name
            for name, given in (
                (self.style or "", self.style is not None),
                ("self-instruct", self.self_instruct is not None),
                ("rationale", self.rationale),
                ("extrapolate-errors", self.extrapolate_errors),
                ("continue", self.go_on is not None),
            )
            if given
        ]
        if len(asked) > 1:
            raise UsageError(f"{' and '.join(asked)} are protocols of their own; give one")
        return asked[0] if asked else "answer"

    @property
    def field(self) -> str:
        """The field that holds what is asked."""
        texts = self.style is not None or self.go_on is not None
        return self.prompt_field or ("text" if texts else "prompt")

    def check(self, models: int) -> None:
        """Raises UsageError where options do not fit together."""
        protocol = self.protocol
        if self.style is not None and self.style not in wordings.STYLES:
            raise UsageError(f"--style {self.style}: use one of {', '.join(wordings.STYLES)}")
        if self.assign not in ("single", "stratified"):
            raise UsageError(f"--assign {self.assign}: use single or stratified")
        if self.assign == "stratified" and models < 2:
            raise UsageError("--assign stratified shares the prompts among several --model")
        if self.stratify_by is not None and self.assign != "stratified":
            raise UsageError("--stratify-by belongs to --assign stratified")
        if protocol != "answer" and (self.template is not None or self.context_field is not None):
            raise UsageError(
                f"{protocol} has a wording of its own; it does not go with --template or "
                "--context-field"
            )
        if self.template is not None and self.prompt_field is not None:
            raise UsageError(
                "--template names its fields itself; it does not go with --prompt-field"
            )
        if self.plain and self.system is not None:
            raise UsageError("--plain leaves no place for --system")
        if self.plain and protocol not in ("answer", "self-instruct", "continue"):
            raise UsageError(f"{protocol} is asked in a conversation; it does not go with --plain")
        if self.go_on is not None and self.system is not None:
            raise UsageError("--continue goes on with a text; it does not go with --system")
        if self.samples > 1 and protocol in ("rationale", "self-instruct"):
            raise UsageError(f"-n does not go with {protocol}")
        if protocol == "self-instruct" and models > 1:
            raise UsageError("--self-instruct grows one pool with one model")
        if self.wrong_field is not None and not self.extrapolate_errors:
            raise UsageError("--wrong-field belongs to --extrapolate-errors")

    def taken(self) -> tuple[str, ...]:
        """Fields that records must not have yet."""
        if self.extrapolate_errors:
            return ()  # its records are new ones
        fields = (("response", self.response_field), ("model", self.model_field))
        return tuple(name for name, given in fields if given is None)


def text_of(value: str | None, option: str) -> str | None:
    """An option's text, read from a file where it begins with @."""
    if value is None or not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SynthError(f"{option} {value}: cannot be read ({error})") from error


def asking_of(options: Generating, models: Generators, jobs: Jobs) -> Asking:
    """How records become prompts."""
    system = text_of(options.system, "--system")
    field = options.field
    if options.rationale:
        return reasoning.asking(field, options.answer_field, system)
    if options.extrapolate_errors:
        return extrapolating.asking(field, options.answer_field, options.wrong_field, system)
    if options.go_on is not None:
        from synthtools.lm.scorer import open_tokenizer

        name = models.settings(jobs, models.names()[0]).model
        return beginnings.asking(field, options.go_on, open_tokenizer(name))
    if options.style is not None:
        wording = wordings.STYLES[options.style]
        found = asking.by_template(Template(f"{wording}\n\n{{{field}}}"))
    elif options.template is not None:
        text = text_of(options.template, "--template") or ""
        try:
            found = asking.by_template(Template(text), options.context_field)
        except ValueError as error:
            raise UsageError(f"--template: {error}") from error
    else:
        found = asking.by_field(field, options.context_field)
    return Asking(found.fields, found.say, system, options.plain)
