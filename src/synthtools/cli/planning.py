"""``--dry-run``: what a training run would amount to, before it is made."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from synthtools.errors import SynthError
from synthtools.records.inputs import Shard

if TYPE_CHECKING:
    from synthtools.training.corpus import Corpus
    from synthtools.training.data import Encoding
    from synthtools.training.fitting import RowCounts
    from synthtools.training.packing import Blend, Packer
    from synthtools.training.plan import Documents, Plan, Settings, Source

# Bytes of a token where there is no tokenizer to ask yet [ours].
_TOKEN_BYTES = 4
_SAMPLED = 1 << 20


class Surveyed(NamedTuple):
    """The rows of some sources, as far as they can be told from their beginnings.

    Attributes:
        blend: knows how many rows there are, not what they hold; tokens: of all documents.
    """

    blend: Blend
    tokens: int


class _Counted(NamedTuple):
    """A packer of which only the number of rows is known."""

    rows: int

    def rows_in(self, epoch: int) -> int:
        return self.rows


def surveyed(
    sources: Sequence[tuple[Source, list[Shard]]],
    context: int,
    encoding: Encoding | None,
    vocabulary: int,
    lay: Callable[[Corpus], Packer],
) -> Surveyed:
    """The rows of sources: exact where their first MiB is all, else scaled by their size [ours].

    Args:
        context: tokens of a row.
        encoding: None where there is no tokenizer yet.
        lay: documents → rows.
    """
    from synthtools.training.packing import Blend

    counts, tokens = [], 0
    for source, shards in sources:
        sizes = [shard.size for shard in shards]
        if None in sizes:
            name = shards[sizes.index(None)].name
            raise SynthError(f"{name}: is no plain file, which this tool reads more than once")
        size = sum(s for s in sizes if s is not None)
        if encoding is None:
            found = max(1, size // _TOKEN_BYTES)
            rows = -(-found // context)
        else:
            rows, found = _sampled(source, shards, size, encoding, vocabulary, lay)
        counts.append(_Counted(rows))
        tokens += found
    given = [source.share for source, _ in sources if source.share is not None]
    return Surveyed(Blend(counts, given or None), tokens)  # type: ignore[arg-type]


def _sampled(
    source: Source,
    shards: list[Shard],
    size: int,
    encoding: Encoding,
    vocabulary: int,
    lay: Callable[[Corpus], Packer],
) -> tuple[int, int]:
    """Rows and tokens of a source."""
    from synthtools.training.corpus import cached

    whole = False

    def beginning(kept: Path | None) -> Iterator[Documents]:
        nonlocal whole
        read = 0
        for some in source.batches(kept):
            yield some
            read += some.size
            if read > _SAMPLED:
                return
        whole = True

    with tempfile.TemporaryDirectory(prefix="synth-plan-") as folder:
        corpus = cached(
            Path(folder) / "tokens", replace(source, batches=beginning), encoding.encode, vocabulary
        )
        try:
            rows = lay(corpus).rows_in(0)
        except ValueError as error:
            raise SynthError(f"{source.name}: {error}") from error
        scale = 1.0 if whole else size / max(1, sum(shard.bytes_read for shard in shards))
        return math.ceil(rows * scale), int(corpus.facts["tokens"] * scale)


def planned(
    plan: Plan,
    settings: Settings,
    ranks: Any,
    rows: Sequence[RowCounts],
    repeated: int,
    vocabulary: int,
    original: float = 0.0,
) -> dict[str, Any]:
    """What a run would amount to, with an estimate of its time.

    Args:
        rows: of each kind; repeated: of the run, those after the first pass over their source.
        vocabulary: of the tokenizer.
        original: share of the tokens that a frozen model reads too.
    """
    from synthtools.lm.loading import ModelName, load_configuration
    from synthtools.training import speed
    from synthtools.training.run import estimate

    sizes, settings = estimate(
        plan,
        settings,
        rows,
        vocabulary,
        lambda name, revision: load_configuration(ModelName(name, revision)),
        ranks,
    )
    rate = speed.measured_flops(ranks.device, settings.bfloat16)
    # A forward pass is a third of a forward and backward pass.
    work = sizes.flops_per_token * sizes.tokens * (1 + original / 3)
    seconds = work / (0.4 * rate * ranks.count)
    return {
        "parameters": sizes.parameters,
        "trained": sizes.trained,
        "tokens": sizes.tokens,
        "steps": sizes.steps,
        "rows": sum(kind.run for kind in rows),
        "rows_repeated": repeated,
        "tokens_of_step": sizes.tokens_of_step,
        "learning_rate": settings.learning_rate,
        "warmup_steps": settings.warmup,
        "decay_steps": settings.decay if settings.schedule == "wsd" else None,
        "flop_per_token": sizes.flops_per_token,
        "memory_gigabytes": round(sizes.memory / 1e9, 2),
        "matrix_products_gflop_per_second": round(rate / 1e9, 1),
        "hours_at_40_percent_of_that": round(seconds / 3600, 3),
        "disk_gigabytes": round((12 * sizes.trained * (settings.keep + 1)) / 1e9, 3),
    }
