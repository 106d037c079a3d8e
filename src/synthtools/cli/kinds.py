"""Kinds of option values that several tools share: an annotation with its placeholder, parsing and bounds."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli import quantities
from synthtools.cli.parameters import Kind
from synthtools.cli.quantities import InputPart, NamedPath, PathShare

# Names.
FieldName = Annotated[str, Kind("FIELD")]
FileName = Annotated[str, Kind("FILE")]
FolderName = Annotated[str, Kind("DIR")]
PathName = Annotated[str, Kind("PATH")]
ReportName = Annotated[str, Kind("REPORT")]
Name = Annotated[str, Kind("NAME")]
ModelId = Annotated[str, Kind("MODEL")]
Revision = Annotated[str, Kind("REV")]
Url = Annotated[str, Kind("URL")]
FileContent = Annotated[str, Kind("FILE", parse=quantities.NamedContent)]
SharedPath = Annotated[PathShare, Kind("PATH[=SHARE]", parse=quantities.path_share)]
LabelledPath = Annotated[NamedPath, Kind("NAME=PATH", parse=quantities.named_path)]
SourcePath = Annotated[NamedPath, Kind("[NAME=]PATH", parse=quantities.source_path)]
InputShard = Annotated[InputPart, Kind("I/N", parse=quantities.part)]

# Whole numbers.
Positive = Annotated[int, Kind("N", min=1)]
Natural = Annotated[int, Kind("N", min=0)]
Count = Annotated[int, Kind("N", parse=quantities.count, min=1)]
Context = Annotated[int, Kind("TOKENS", min=2)]
TopK = Annotated[int, Kind("K", min=1)]
Buckets = Annotated[int, Kind("B", min=2)]
NgramLength = Annotated[int, Kind("N", min=1, max=100)]
Resamples = Annotated[int, Kind("B", min=0, max=100_000)]
Steps = Annotated[int, Kind("STEPS", min=0)]
ByteSize = Annotated[int, Kind("SIZE", parse=quantities.size_in_bytes)]

# Numbers.
Probability = Annotated[float, Kind("P", min=0, max=1)]
Jaccard = Annotated[float, Kind("J", min=0.01, max=1)]
Shares = Annotated[float, Kind("LIST", parse=quantities.share, min=0, max=1)]
StepsOrShare = Annotated[float, Kind("STEPS|SHARE", parse=quantities.span, min=0)]
