"""A cache of numbers of tokens across runs, by a hash of the tokenizer and the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from synthtools.errors import SynthError
from synthtools.lm.kept_values import key_of
from synthtools.lm.text_tokenizer import TextTokenizer
from synthtools.records.value_cache import ValueCache

# Counts for about 200 GB of text [ours].
_MOST_BYTES = 1 << 30


class KeptTokenCounts:
    """Counts the tokens of texts; batches of texts counted before are taken from the cache. If the cache fails, all
    texts are counted.

    Args:
        folder: of the cache; other processes may use it at the same time.
        remark: called with the reason if the cache cannot be used.
    """

    def __init__(
        self, tokenizer: TextTokenizer, folder: Path, remark: Callable[[str], None]
    ) -> None:
        self._tokenizer = tokenizer
        self._folder = folder
        self._remark = remark
        self._cache: ValueCache | None = None
        with self._giving_up():
            self._cache = ValueCache(folder, _MOST_BYTES)

    def __reduce__(self) -> tuple[type[KeptTokenCounts], tuple[Any, ...]]:
        return type(self), (self._tokenizer, self._folder, self._remark)

    def __call__(self, texts: list[str]) -> np.ndarray:
        """See ``TextTokenizer.counts``."""
        cache, value = self._cache, None
        if cache is None:
            return self._tokenizer.counts(texts)
        key = key_of(self._tokenizer.identity, *(text.encode() for text in texts))
        with self._giving_up():
            value = cache.get(key)
        if value is not None:
            return np.array(value["tokens"], np.int64)
        counts = self._tokenizer.counts(texts)
        with self._giving_up():
            cache.add(key, {"tokens": counts.tolist()})
        return counts

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Continues without the cache if it fails."""
        try:
            yield
        except SynthError as error:
            self._cache = None
            self._remark(f"numbers of tokens are not kept: {error}")
