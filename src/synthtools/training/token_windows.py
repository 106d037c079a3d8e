"""A source that is tokenised window by window during training, in the order of its files.

Each window holds the documents after the previous one, 1M tokens at first and then twice as many each time up to
64M, so that training starts soon and documents are shuffled among more and more. Windows and the order of rows
depend only on the data: window after window, within each in the order of ``CutPacker`` for (seed, epoch, window).
Windows stay on disk for resumed runs and further epochs.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from synthtools.errors import SynthError
from synthtools.records.output_lock import OutputLock
from synthtools.records.rejects import KeptRejects, Rejects, replay_rejects
from synthtools.scale.prefetch import prefetched
from synthtools.training.corpus import (
    REJECTS,
    Corpus,
    CorpusFiles,
    Encode,
    RefusedDocument,
    is_made,
    load,
)
from synthtools.training.packers import CutPacker, Packer
from synthtools.training.plan import Source

_FIRST, _LARGEST = 1 << 20, 1 << 26


class TokenWindows(Packer):
    """The rows of a source, tokenised as far as they are needed.

    Args:
        folder: of the windows, named by a hash of data, tokenizer and settings.
        encode, vocabulary: see ``corpus.cached``.
        length, seed: see ``CutPacker``.
        makes: whether this rank makes missing windows; the others wait for them.
        remark: receives a line for each new window.

    Raises:
        OutputInUseError: another run makes windows in the folder.

    Memory: one batch of documents; 24 bytes per document of the current window.
    """

    def __init__(
        self,
        folder: Path,
        source: Source,
        encode: Encode,
        vocabulary: int,
        length: int,
        seed: int,
        makes: bool,
        remark: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._source = source
        self._length = length
        self._seed = seed
        self._remark = remark
        self._facts: list[dict[str, int]] = []  # of the windows so far
        self._before = [0]  # rows before each window, and in total
        self._packer: tuple[int, CutPacker] | None = None
        self._closed = threading.Event()
        self._claim: OutputLock | None = None
        self._made: Iterator[None] | None = None
        self._rejects = source.rejects() if makes else None
        if self._rejects is not None and not _existing_windows(folder)[2]:
            folder.mkdir(parents=True, exist_ok=True)
            self._claim = OutputLock.of_file(folder)
            dtype = np.uint16 if vocabulary <= 1 << 16 else np.uint32
            self._made = prefetched(
                _make_windows(folder, source, encode, dtype, self._rejects.skip, self._goes_on), 1
            )

    @property
    def _whole(self) -> bool:
        """Whether the last window has been reached."""
        return bool(self._facts) and bool(self._facts[-1]["last"])

    def rows_in(self, epoch: int) -> int:
        return self._before[-1] if self._whole else 0

    def first_pass(self, rows: int) -> int:
        used = self._windows_of(rows)
        return self._before[-1] if self._whole and used == len(self._facts) else 0

    def row(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self._windows_of(number + 1)
        epoch, number = divmod(number, self._before[-1]) if self._whole else (0, number)
        window = int(np.searchsorted(self._before, number, side="right")) - 1
        if self._packer is None or self._packer[0] != window:
            corpus = load(_window_folder(self._folder, window))
            self._packer = (
                window,
                CutPacker(corpus.tokens, corpus.starts, self._length, self._seed, window),
            )
        packer = self._packer[1]
        return packer.row(epoch * packer.rows + number - self._before[window])

    def facts_of(self, rows: int) -> dict[str, int]:
        """Facts of the windows of the first ``rows`` rows (see ``corpus.Corpus``)."""
        self._windows_of(1)  # facts that sum to 0 have names, too
        used = self._windows_of(rows)
        whole = {n: value for n, value in self._facts[0].items() if n not in ("last", "read")}
        sums = {n: sum(f[n] for f in self._facts[:used]) for n in whole if n != "dtype"}
        return {**whole, **sums}

    def used_by(self, rows: int) -> tuple[list[Corpus], float]:
        """The windows of the first ``rows`` rows, and the number of passes over them."""
        used = self._windows_of(rows)
        windows = [load(_window_folder(self._folder, window)) for window in range(used)]
        return windows, rows / max(1, self._before[used])

    def _windows_of(self, rows: int) -> int:
        """The windows that so many rows come from; waits for those that have not been reached."""
        while not self._whole and rows > self._before[-1]:
            self._reach()
        return min(int(np.searchsorted(self._before, rows)), len(self._facts))

    def _reach(self) -> None:
        """Waits for one more window."""
        number = len(self._facts)
        place = _window_folder(self._folder, number)
        while not is_made(place):
            if self._made is not None:
                if next(self._made, False) is False and not is_made(place):
                    raise SynthError(f"{self._source.name}: there are no documents; give some text")
            elif not self._goes_on():
                raise SynthError(f"{place}: was not made")
            else:
                time.sleep(0.05)
        facts = load(place).facts
        self._facts.append(facts)
        self._before.append(self._before[-1] - (-facts["tokens"] // self._length))
        if self._rejects is not None:
            replay_rejects(place / REJECTS, self._rejects)
            end = ", its last" if self._whole else ""
            self._remark(
                f"{self._source.name}: window {number + 1}{end}: {facts['documents']:,} documents, "
                f"{facts['tokens']:,} tokens"
            )

    def _goes_on(self) -> bool:
        return not self._closed.is_set() and threading.main_thread().is_alive()

    def close(self) -> None:
        """Stops the tokenising."""
        self._closed.set()
        if self._claim is not None:
            self._claim.release()


def _window_folder(folder: Path, window: int) -> Path:
    return folder / f"window-{window:05d}"


def _existing_windows(folder: Path) -> tuple[int, int, bool]:
    """Number of existing windows, of the documents read for them, and whether these are all."""
    window, read, last = 0, 0, False
    while is_made(_window_folder(folder, window)):
        facts = load(_window_folder(folder, window)).facts
        window, read, last = window + 1, facts["read"], bool(facts["last"])
    return window, read, last


def _make_windows(
    folder: Path,
    source: Source,
    encode: Encode,
    dtype: type,
    skip: bool,
    goes_on: Callable[[], bool],
) -> Iterator[None]:
    """Makes missing windows, one per item.

    A pass starts at the beginning of the source and skips documents of existing windows. Bad records are
    stored with their window.
    """
    window, left, _ = _existing_windows(folder)  # left: documents to skip
    read = left
    partial, notes = folder / ".partial", folder / ".rejects"
    shutil.rmtree(partial, ignore_errors=True)
    notes.unlink(missing_ok=True)
    files = CorpusFiles(partial, dtype)

    def finish(last: bool) -> None:
        if notes.exists():
            os.replace(notes, partial / REJECTS)
        files.finish(_window_folder(folder, window), read=read, last=int(last))

    try:
        for some in source.batches(KeptRejects(Rejects(skip), notes)):
            if not goes_on():
                return
            if left:
                notes.unlink(missing_ok=True)
            first = min(left, len(some.documents))
            left -= first
            documents = some.documents[first:]
            for index, document in enumerate(encode(documents)):
                if isinstance(document, RefusedDocument):
                    some.refuse(first + index, document.reason)
                elif document is not None:
                    # Never empty: a window starts with the document that did not fit into the previous one.
                    if len(document.ids) and files.tokens >= min(_FIRST << window, _LARGEST):
                        finish(last=False)
                        yield
                        window += 1
                        files = CorpusFiles(partial, dtype)
                    files.add(document)
                    files.facts["bytes"] += len(documents[index].encode("utf-8"))
                read += 1
        if files.tokens:
            finish(last=True)
            yield
    finally:
        files.remove()
