"""Documents → token ids on disk with boundaries, cached by a hash of their origin."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from synthtools.errors import OutputInUseError, SynthError
from synthtools.lm.tokenizer_faults import PanicError, encoded, failure
from synthtools.records.exclusive_rename import rename_new
from synthtools.records.output_lock import OutputLock, hidden
from synthtools.records.rejects import KeptRejects, replay_rejects

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from synthtools.training.plan import Source

_FACTS = "facts.json"
REJECTS = "rejects.jsonl"


class TokenizedDocument(NamedTuple):
    """A document as tokens; ``learned``: bool or uint8 [n], as of ``Corpus``, None for all; ``cut``: tokens that did not fit and were left out."""

    ids: np.ndarray
    learned: np.ndarray | None = None
    cut: int = 0


class RefusedDocument(NamedTuple):
    """A document that cannot be used: a bad record."""

    reason: str


class Corpus(NamedTuple):
    """Tokenised documents.

    Attributes:
        tokens: uint16 or uint32 [n], mapped from disk, documents concatenated.
        starts: int64 [documents + 1], start of each, and n.
        learned: uint8 [n], 1 for tokens to learn, 2 for the start of the second text of a pair; None for
            all.
        facts: ``documents``, ``tokens``, ``learned`` (tokens to be predicted), ``bytes`` (of UTF-8),
            ``cut_documents``, ``cut_tokens``, ``left_out`` (documents with nothing to be learned).
    """

    tokens: np.ndarray
    starts: np.ndarray
    learned: np.ndarray | None
    facts: dict[str, int]

    def facts_of(self, rows: int) -> dict[str, int]:
        """The facts, for any number of rows, since everything is tokenised first."""
        return self.facts


Encode = Callable[[list[Any]], list[TokenizedDocument | RefusedDocument | None]]


def tokenized(
    tokenizer: PreTrainedTokenizerFast,
    texts: list[str],
    document: Callable[[int, Any, list[int]], TokenizedDocument | None],
    offsets: bool = False,
) -> list[TokenizedDocument | RefusedDocument | None]:
    """Texts as documents, each with the end-of-text token at its end, if there is one.

    Text that spells a special token stays text, as in scoring. A text on which the tokenizer fails is refused.

    Args:
        document: made of (number of the text, its encoding, what is missing of an end).
        offsets: whether encodings need the tokens' positions in the text.
    """
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = True
    backend.no_truncation()
    encode = backend.encode_batch if offsets else backend.encode_batch_fast
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    documents: list[TokenizedDocument | RefusedDocument | None] = []
    for number, encoding in enumerate(encoded(encode, texts)):
        if isinstance(encoding, PanicError):
            reason = failure(tokenizer.name_or_path, texts[number], encoding)
            documents.append(RefusedDocument(reason))
        else:
            missing = [] if encoding.ids[-1:] == end else end
            documents.append(document(number, encoding, missing))
    return documents


def text_encoder(tokenizer: PreTrainedTokenizerFast) -> Encode:
    """Texts → tokens (see ``tokenized``)."""

    def document(_: int, encoding: Any, end: list[int]) -> TokenizedDocument:
        return TokenizedDocument(np.array([*encoding.ids, *end], np.int64))

    return lambda texts: tokenized(tokenizer, texts, document)


def cached(
    folder: Path,
    source: Source,
    encode: Encode,
    vocabulary: int,
    remark: Callable[[str], None] = lambda words: None,
    moved: Callable[[int, float | None], None] = lambda tokens, share: None,
) -> Corpus:
    """The tokens in a folder; made first if missing, by one of the runs that need them.

    Bad records are stored beside the tokens, so that a run that reuses them reports the same.

    Args:
        folder: named by a hash of data, tokenizer and settings.
        encode: documents → tokens; None for a document without tokens to learn.
        vocabulary: size; 2 bytes per token up to 65,536, otherwise 4.
        remark: receives a line when it waits for another run.
        moved: called with the number of tokens so far, and the share of the source read.

    Raises:
        SynthError: the folder cannot be written.
        RecordError: a record is bad, and bad records are not skipped.

    Memory: one list of documents, and 8 bytes per document.
    """
    try:
        if is_made(folder):
            OutputLock.clear(folder)
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _claimed(folder, remark):
                if not is_made(folder):
                    dtype = np.uint16 if vocabulary <= 1 << 16 else np.uint32
                    _make(folder, source, encode, dtype, moved)
                    return load(folder)
        replay_rejects(folder / REJECTS, source.rejects())
    except OSError as error:
        raise SynthError(f"{folder}: tokens cannot be kept: {error.strerror}") from error
    return load(folder)


def _claimed(folder: Path, remark: Callable[[str], None]) -> OutputLock:
    waiting = False
    while True:
        try:
            return OutputLock.of_file(folder)
        except OutputInUseError as error:
            if not waiting:
                remark(f"waiting for tokens: {error}")
            waiting = True
            time.sleep(0.5)


def load(folder: Path) -> Corpus:
    """Loads the tokens from a complete folder."""
    facts = json.loads((folder / _FACTS).read_text())
    dtype = np.dtype(facts["dtype"])
    tokens = np.memmap(folder / "tokens.bin", dtype, "r") if facts["tokens"] else np.zeros(0, dtype)
    learned = None
    if facts["learned"] < facts["tokens"]:
        learned = np.memmap(folder / "learned.bin", np.uint8, "r")
    starts = np.load(folder / "starts.npy", allow_pickle=False)
    return Corpus(tokens, starts, learned, facts)


class CorpusFiles:
    """Writes tokenised documents to a folder.

    Args:
        folder: new; deleted by ``remove``.
        dtype: of a token.
    """

    def __init__(self, folder: Path, dtype: type) -> None:
        self.folder = folder
        self.tokens = 0
        self.facts = dict.fromkeys(
            ("bytes", "cut_documents", "cut_tokens", "left_out", "learned"), 0
        )
        self._dtype = dtype
        self._sizes: list[int] = []
        folder.mkdir()
        self._out = open(folder / "tokens.bin", "wb")
        self._mask = open(folder / "learned.bin", "wb")

    def add(self, document: TokenizedDocument | None) -> None:
        """Adds a document, None for one without tokens to learn."""
        facts = self.facts
        if document is None:
            facts["left_out"] += 1
            return
        self._sizes.append(len(document.ids))
        self.tokens += len(document.ids)
        self._out.write(document.ids.astype(self._dtype).tobytes())
        facts["cut_documents"] += document.cut > 0
        facts["cut_tokens"] += document.cut
        if document.learned is None:
            facts["learned"] += len(document.ids)
        else:
            facts["learned"] += int((document.learned == 1).sum())
            self._mask.write(document.learned.astype(np.uint8).tobytes())

    def finish(self, place: Path, **more: Any) -> None:
        """Moves the folder to its final place, with further facts."""
        self._close()
        starts = np.concatenate([[0], np.cumsum(self._sizes)]).astype(np.int64)
        np.save(self.folder / "starts.npy", starts, allow_pickle=False)
        whole = {"documents": len(self._sizes), "tokens": self.tokens}
        facts = {**self.facts, **whole, "dtype": np.dtype(self._dtype).name, **more}
        (self.folder / _FACTS).write_text(json.dumps(facts))
        if place.exists():
            shutil.rmtree(place)  # incomplete: it has no facts
        rename_new(self.folder, place)

    def remove(self) -> None:
        """Removes an unfinished folder."""
        self._close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _close(self) -> None:
        self._out.close()
        self._mask.close()


def is_made(folder: Path) -> bool:
    """Whether a folder is complete."""
    return (folder / _FACTS).exists()


def _make(
    folder: Path,
    source: Source,
    encode: Encode,
    dtype: type,
    moved: Callable[[int, float | None], None],
) -> None:
    files = CorpusFiles(
        folder.with_name(f"{hidden(folder.name)}.{secrets.token_hex(4)}.partial"), dtype
    )
    try:
        for some in source.batches(KeptRejects(source.rejects(), files.folder / REJECTS)):
            files.facts["bytes"] += some.size
            for index, document in enumerate(encode(some.documents)):
                if isinstance(document, RefusedDocument):
                    some.refuse(index, document.reason)
                else:
                    files.add(document)
            moved(files.tokens, source.share_read())
        files.finish(folder)
    finally:
        files.remove()
