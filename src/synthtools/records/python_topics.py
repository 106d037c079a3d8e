"""Text that is on every machine: the topics of Python's own documentation, as a file of records; and what
SmolLM2-135M wrote on 24 of them (``sample.jsonl``, made by docs/demo/make_synthetic.sh)."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

TOPICS = "builtin:topics"
SAMPLE = "builtin:sample"

_KEPT: list[object] = []  # what ends with the process


@cache
def builtin_file(name: str) -> Path:
    """A file of the records of ``builtin:topics`` (``id``, ``text`` of each topic of ``pydoc_data.topics``, by
    name) or of ``builtin:sample`` (``id``, ``text``, ``label``: on each topic a ``human`` and a ``synthetic`` one).

    It is of this process: in memory where the system can, else in TMPDIR, and gone with it. What it
    holds depends on the version of Python.

    Raises:
        OSError: neither can be had.
    """
    from pydoc_data.topics import topics

    if name == TOPICS:
        return _file_of({"id": topic, "text": topics[topic]} for topic in sorted(topics))
    lines = Path(__file__).with_name("sample.jsonl").read_text("utf-8").splitlines()
    written = {record["id"]: record["text"] for record in map(json.loads, lines)}
    return _file_of(
        {"id": topic, "text": text, "label": label}
        for topic in written
        for label, text in (("human", topics.get(topic)), ("synthetic", written[topic]))
        if text is not None
    )


def _file_of(records: Iterable[dict[str, str]]) -> Path:
    content = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    if hasattr(os, "memfd_create") and os.path.isdir(f"/proc/{os.getpid()}/fd"):
        number = os.memfd_create("topics.jsonl")
        with open(number, "wb", closefd=False) as file:
            file.write(content)
        return Path(f"/proc/{os.getpid()}/fd/{number}")
    copy = tempfile.NamedTemporaryFile(prefix="synth-", suffix=".jsonl")
    _KEPT.append(copy)
    copy.write(content)
    copy.flush()
    return Path(copy.name)
