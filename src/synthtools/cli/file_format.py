"""How the bytes of input files become records, where files do not say it themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from synthtools.cli.parameters import Group, option
from synthtools.records.input_format import InputFormat, encoding_of


@dataclass(frozen=True)
class FileFormat(Group):
    """What inputs are read as."""

    group = "Input"
    input_format: Literal["jsonl", "json", "csv", "tsv", "text"] | None = option(
        None,
        help="Format of input that is neither Parquet nor Arrow (default: by the suffix .csv, .tsv, "
        ".txt or .md, else jsonl, or json where it begins with [). json is one array of records; csv "
        "and tsv have a header, their values are text; text is one record a file, with its path.",
    )
    encoding: str | None = option(
        None,
        metavar="NAME",
        parse=encoding_of,
        help="Encoding of text input (default: UTF-8): cp1252, utf-16, …",
    )
    split: Literal["lines", "paragraphs"] | None = option(
        None,
        help="Take each line, or each paragraph (blank lines part them), of plain text as a record.",
    )

    def input_files(self) -> InputFormat:
        """The format of all inputs."""
        return InputFormat(self.input_format or "", self.encoding, self.split)
