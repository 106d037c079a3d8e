"""Which of several models answers a record: each a stratified share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from synthtools.curate.prompts import PromptedRecords
from synthtools.curate.sampled_records import strata_of
from synthtools.draws import lane_of, record_uniforms


def stratified(
    items: Iterable[PromptedRecords], models: int, seed: int, stratify_by: str | None
) -> np.ndarray:
    """The model of each record, int16: of every stratum each model answers as many records, to
    within one, and so it does of the whole (Baskets: a quarter for each of four).

    Within a stratum records are dealt out in an order of chance that belongs to them and the seed;
    a stratum continues with the model after the last one of the stratum before [ours].

    Memory: 18 bytes a record.
    """
    numbers: dict[str, int] = {}
    strata, keys = [], []
    for item in items:
        names = strata_of(item.batch, stratify_by)
        strata.append(
            np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
        )
        keys.append(item.keys)
    if not strata:
        return np.zeros(0, np.int16)
    # Not the order in which strata come, which the layout of the input decides.
    rank = {numbers[name]: place for place, name in enumerate(sorted(numbers))}
    stratum = np.array([rank[n] for n in range(len(numbers))])[np.concatenate(strata)]
    draws = record_uniforms(seed, np.concatenate(keys), lane_of("assign"))
    order = np.lexsort((draws, stratum))
    models_of = np.empty(len(order), np.int16)
    models_of[order] = np.arange(len(order)) % models
    return models_of


def share_of(
    items: Iterable[PromptedRecords], models: np.ndarray, model: int
) -> Iterator[PromptedRecords]:
    """The records that one model answers.

    Args:
        models: of each record (see ``stratified``).
    """
    start = 0
    for item in items:
        own = np.flatnonzero(models[start : start + len(item.batch)] == model).tolist()
        start += len(item.batch)
        if own:
            yield item.take(own)
