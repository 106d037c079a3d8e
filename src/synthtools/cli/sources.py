"""The sources of a training run: paths with shares and weights, read as texts or conversations."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthtools.cli.recipe import Conversations
from synthtools.cli.run import Run
from synthtools.errors import UsageError
from synthtools.records.batch import MISSING, Batch
from synthtools.records.faults import fields_of
from synthtools.records.inputs import Shard
from synthtools.records.reading import read, require_text, without
from synthtools.records.rejects import KeptRejects, Rejects, recall

if TYPE_CHECKING:
    from synthtools.training.plan import Documents, Source


def sources_of(entries: Sequence[str]) -> list[tuple[str, float | None]]:
    """Paths with their shares; all have one, or none has."""
    found: list[tuple[str, float | None]] = []
    for entry in entries:
        path, sign, share = entry.rpartition("=")
        if os.path.exists(entry) or not sign:
            found.append((entry, None))
            continue
        try:
            value = float(share.removesuffix("%")) / (100 if share.endswith("%") else 1)
        except ValueError:
            value = -1.0
        if not 0 < value <= 1:
            raise UsageError(f"{entry}: write PATH=SHARE with a share between 0 and 1")
        found.append((path, value))
    shares = [share for _, share in found if share is not None]
    if not shares:
        return found
    if len(shares) < len(found):
        raise UsageError("give every source a share (PATH=SHARE), or none")
    if abs(sum(shares) - 1) > 1e-6:
        raise UsageError(f"the shares sum to {sum(shares):.7g}, not to 1")
    return found


def short_name(name: str) -> str:
    """What a source is called: its file's or directory's name without suffixes."""
    return Path(name.rstrip("/")).name.split(".")[0] or name


def validation_of(entry: str) -> tuple[str, str]:
    name, sign, path = entry.partition("=")
    if not sign or not name or not path:
        raise UsageError(f"--valid {entry}: write NAME=PATH")
    return name, path


def weights_of(names: Sequence[str], what: What) -> list[tuple[float | None, bool]]:
    """Loss weight of each source, and whether it is the golden one.

    Args:
        names: what the sources are called.
    """
    for name in names:
        if names.count(name) > 1 and (what.loss_weights or what.golden):
            raise UsageError(f"two sources are called {name}: rename one to give it a weight")
    weights: dict[str, float] = {}
    for entry in what.loss_weights:
        name, _, value = entry.rpartition("=")
        try:
            weight = float(value)
        except ValueError:
            weight = -1.0
        if not 0 <= weight <= 1:
            raise UsageError(f"--loss-weight {entry}: write SOURCE=WEIGHT, between 0 and 1")
        weights[_known(name, names, "--loss-weight")] = weight
    if what.golden is not None:
        if weights:
            raise UsageError("--golden sets the weights: leave out --loss-weight")
        golden = _known(what.golden, names, "--golden")
        if len(names) < 2:
            raise UsageError("--golden needs a second source: the synthetic text")
        return [(None, name == golden) for name in names]
    total = sum(weights.values())
    if total > 1 + 1e-9 or (len(weights) == len(names) and total < 1 - 1e-6):
        raise UsageError(f"the loss weights sum to {total:g}, not to 1")
    return [(weights.get(name), False) for name in names]


def _known(name: str, names: Sequence[str], option: str) -> str:
    short = short_name(name) if name else name
    if short not in names:
        raise UsageError(f"{option} {name}: no such source (sources: {', '.join(names)})")
    return short


@dataclass(frozen=True)
class Form:
    """What a record is read as.

    Attributes:
        kind: ``text``; ``conversation`` (messages, or a prompt and a response); ``answered`` (a text,
            or a prompt and a response as plain text).
        text_field: of texts.
        fields: of the others.
    """

    kind: str
    text_field: str
    fields: Conversations = field(default_factory=Conversations)


class Reader:
    """Records → documents; bad ones are told once.

    Args:
        form: what documents are.
        hashed: read all data for its digest; a plan that only counts does without.
    """

    def __init__(self, run: Run, form: Form, hashed: bool) -> None:
        self._run = run
        self._hashed = hashed
        self._form = form
        self._told: set[str] = set()

    def source(
        self,
        name: str,
        shards: list[Shard],
        share: float | None = None,
        weight: float | None = None,
        golden: bool = False,
    ) -> Source:
        from synthtools.training.plan import Documents, Source

        form = self._form
        fields = list(astuple(form.fields))
        facts = [
            [shard.digest() if self._hashed else shard.name for shard in shards],
            form.text_field if form.kind == "text" else fields,
        ]
        if form.kind == "answered":
            facts.append(form.text_field)
        digest = hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()

        def fate() -> Rejects:
            # A file that is named twice is still told once.
            again = digest in self._told
            self._told.add(digest)
            return self._run.rejects_of(again)

        def batches(kept: Path | None) -> Iterator[Documents]:
            rejects = fate() if kept is None else KeptRejects(fate(), kept)
            for batch in read(shards, rejects):
                for sound, documents in documents_of(batch, self._form, rejects):
                    if documents:
                        refuse = partial(_refuse, sound, rejects)
                        yield Documents(documents, sum(map(_size, documents)), refuse)

        def share_read() -> float | None:
            sizes = [shard.size for shard in shards]
            if None in sizes:
                return None
            done = sum(shard.bytes_read for shard in shards)
            return min(1.0, done / max(1, sum(size for size in sizes if size is not None)))

        return Source(
            name,
            share,
            weight,
            batches,
            lambda kept: recall(kept, fate()),
            share_read,
            digest,
            golden,
        )


def documents_of(batch: Batch, form: Form, rejects: Rejects) -> list[tuple[Batch, list[Any]]]:
    """Sound records, and the document of each."""
    if form.kind == "text":
        sound = require_text(batch, form.text_field, rejects)
        return [(sound, sound.column(form.text_field))]
    if form.kind == "answered":
        return _answered(batch, form, rejects)
    return [_conversations(batch, form, rejects)]


def _refuse(batch: Batch, rejects: Rejects, index: int, reason: str) -> None:
    without(batch, {index: reason}, rejects)


def _answered(batch: Batch, form: Form, rejects: Rejects) -> list[tuple[Batch, list[Any]]]:
    from synthtools.training.conversations import Answered

    asked = batch.column(form.fields.prompt_field)
    texts = batch.column(form.text_field)
    pairs = [i for i, text in enumerate(texts) if text is MISSING and asked[i] is not MISSING]
    plain = sorted(set(range(len(texts))) - set(pairs))
    found: list[tuple[Batch, list[Any]]] = []
    if plain:
        sound = require_text(batch.take(plain), form.text_field, rejects)
        found.append((sound, [Answered(None, text) for text in sound.column(form.text_field)]))
    if pairs:
        sound = batch.take(pairs)
        for name, option in (
            (form.fields.prompt_field, "--prompt-field"),
            (form.fields.response_field, "--response-field"),
        ):
            sound = require_text(sound, name, rejects, option)
        columns = sound.column(form.fields.prompt_field), sound.column(form.fields.response_field)
        found.append((sound, [Answered(*pair) for pair in zip(*columns, strict=True)]))
    return found


def _conversations(batch: Batch, form: Form, rejects: Rejects) -> tuple[Batch, list[Any]]:
    from synthtools.training.conversations import why_no_conversation

    found: list[Any] = []
    bad: dict[int, str] = {}
    columns = [batch.column(name) for name in astuple(form.fields)]
    for index, (messages, prompt, response) in enumerate(zip(*columns, strict=True)):
        if messages is MISSING:
            if prompt is MISSING or response is MISSING:
                bad[index] = (
                    f'no field "{form.fields.messages_field}", nor "{form.fields.prompt_field}" and '
                    f'"{form.fields.response_field}" (fields: {fields_of(batch, index)}; use '
                    "--messages-field, --prompt-field, --response-field)"
                )
                continue
            messages = [
                {"role": "user", "content": prompt},
                {"role": "assistant", "content": response},
            ]
        reason = why_no_conversation(messages)
        if reason is None:
            found.append(messages)
        else:
            bad[index] = reason
    return without(batch, bad, rejects), found


def _size(document: Any) -> int:
    if isinstance(document, str):
        return len(document.encode("utf-8"))
    if isinstance(document, tuple):
        return sum(len(part.encode("utf-8")) for part in document if part is not None)
    return sum(len(message["content"].encode("utf-8")) for message in document)


@dataclass(frozen=True)
class What:
    """Options of train alone, as given.

    Attributes:
        sources: paths, each with its share or without.
        arch, model, revision: what to begin with.
        vocabulary, tokenizer, context, tokens, epochs: as given.
        sft, learn_all, pack: how documents become rows.
        loss_weights: NAME=WEIGHT; golden: a source's name.
    """

    sources: tuple[str, ...]
    arch: str | None
    model: str | None
    revision: str | None
    vocabulary: str | None
    tokenizer: str | None
    context: int | None
    tokens: str | None
    epochs: float
    sft: bool
    learn_all: bool
    pack: bool
    loss_weights: tuple[str, ...]
    golden: str | None
