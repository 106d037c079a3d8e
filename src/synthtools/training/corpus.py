"""Documents → token ids on disk, with their boundaries, kept under a hash of what they come from."""

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

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from synthtools.training.plan import Source

_FACTS = "facts.json"
_REJECTS = "rejects.jsonl"


class TokenizedDocument(NamedTuple):
    """A document as tokens; ``learned``: bool or uint8 [n], as of ``Corpus``, None for all; ``cut``: tokens that did not fit and were left out."""

    ids: np.ndarray
    learned: np.ndarray | None = None
    cut: int = 0


class RefusedDocument(NamedTuple):
    """A document that cannot be learned from: a bad record."""

    reason: str


class Corpus(NamedTuple):
    """Tokenised documents.

    Attributes:
        tokens: uint16 or uint32 [n], mapped from disk, documents end to end.
        starts: int64 [documents + 1], where each begins, and n.
        learned: uint8 [n], 1 where a token is to be predicted, 2 where the second text of a pair
            begins; None for all.
        facts: ``documents``, ``tokens``, ``learned`` (tokens to be predicted), ``bytes`` (of UTF-8),
            ``cut_documents``, ``cut_tokens``, ``left_out`` (documents with nothing to be learned).
    """

    tokens: np.ndarray
    starts: np.ndarray
    learned: np.ndarray | None
    facts: dict[str, int]


Encode = Callable[[list[Any]], list[TokenizedDocument | RefusedDocument | None]]


def tokenized(
    tokenizer: PreTrainedTokenizerFast,
    texts: list[str],
    document: Callable[[int, Any, list[int]], TokenizedDocument | None],
    offsets: bool = False,
) -> list[TokenizedDocument | RefusedDocument | None]:
    """Texts as documents, each ending with the end-of-text token, if there is one.

    Text that spells a special token is text, as in scoring. A text at which the tokenizer fails is refused.

    Args:
        document: made of (number of the text, its encoding, what is missing of an end).
        offsets: encodings have the places of tokens in the text.
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
    """The tokens in a folder; made first if missing, by one of all runs that need them.

    Bad records are kept beside the tokens, so that a run that reuses them reports the same.

    Args:
        folder: named by a hash of data, tokenizer and settings, so that what is there is right.
        encode: documents to tokens; None for a document that has nothing to be learned.
        vocabulary: of the tokenizer; 2 bytes a token up to 65,536, else 4.
        remark: called with a line when it waits for another run.
        moved: called with the tokens so far, and the share of the source that they are of.

    Raises:
        SynthError: the folder cannot be written.
        RecordError: a record is bad, and bad records are not skipped.

    Memory: one list of documents, and 8 bytes a document.
    """
    try:
        if (folder / _FACTS).exists():
            OutputLock.clear(folder)
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _claimed(folder, remark):
                if not (folder / _FACTS).exists():
                    dtype = np.uint16 if vocabulary <= 1 << 16 else np.uint32
                    _make(folder, source, encode, dtype, moved)
                    return load(folder)
        source.recall(folder / _REJECTS)
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
    """The tokens in a folder that holds them."""
    facts = json.loads((folder / _FACTS).read_text())
    dtype = np.dtype(facts["dtype"])
    tokens = np.memmap(folder / "tokens.bin", dtype, "r") if facts["tokens"] else np.zeros(0, dtype)
    learned = None
    if facts["learned"] < facts["tokens"]:
        learned = np.memmap(folder / "learned.bin", np.uint8, "r")
    starts = np.load(folder / "starts.npy", allow_pickle=False)
    return Corpus(tokens, starts, learned, facts)


def _make(
    folder: Path,
    source: Source,
    encode: Encode,
    dtype: type,
    moved: Callable[[int, float | None], None],
) -> None:
    partial = folder.with_name(f"{hidden(folder.name)}.{secrets.token_hex(4)}.partial")
    partial.mkdir()
    try:
        sizes: list[int] = []
        facts = dict.fromkeys(("bytes", "cut_documents", "cut_tokens", "left_out", "learned"), 0)
        with open(partial / "tokens.bin", "wb") as out, open(partial / "learned.bin", "wb") as mask:
            for some in source.batches(partial / _REJECTS):
                facts["bytes"] += some.size
                for index, document in enumerate(encode(some.documents)):
                    if isinstance(document, RefusedDocument):
                        some.refuse(index, document.reason)
                        continue
                    if document is None:
                        facts["left_out"] += 1
                        continue
                    sizes.append(len(document.ids))
                    out.write(document.ids.astype(dtype).tobytes())
                    facts["cut_documents"] += document.cut > 0
                    facts["cut_tokens"] += document.cut
                    if document.learned is None:
                        facts["learned"] += len(document.ids)
                    else:
                        facts["learned"] += int((document.learned == 1).sum())
                        mask.write(document.learned.astype(np.uint8).tobytes())
                moved(out.tell() // np.dtype(dtype).itemsize, source.share_read())
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        np.save(partial / "starts.npy", starts, allow_pickle=False)
        whole = {"documents": len(sizes), "tokens": int(starts[-1]), "dtype": np.dtype(dtype).name}
        (partial / _FACTS).write_text(json.dumps({**facts, **whole}))
        if folder.exists():
            shutil.rmtree(folder)  # without its facts it is incomplete
        rename_new(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
