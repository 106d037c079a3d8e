"""The remarks of a run on stderr, also about bad records without a rejects file."""

from __future__ import annotations

from collections.abc import Sequence

from synthtools.cli import terminal
from synthtools.cli.terminal import remark
from synthtools.errors import RecordError
from synthtools.records.rejects import Rejects


def remark_skipped(rejects: Rejects, file: str | None) -> None:
    """Reports the number of bad records, by reason."""
    if rejects.count:
        reasons = ", ".join(f"{n} × {why}" for why, n in rejects.reasons.most_common(3))
        more = " …" if len(rejects.reasons) > 3 else ""
        kept = f"; kept in {file}" if rejects.file else ""
        remark(f"{rejects.count} skipped: {reasons}{more}{kept}")


def remark_empty(names: Sequence[str]) -> None:
    """Reports inputs without records."""
    if names:
        more = f" and {len(names) - 3:,} others" if len(names) > 3 else ""
        remark(f"no records in {', '.join(dict.fromkeys(names[:3]))}{more}")


def remark_nothing_written(read: int) -> None:
    """Reports an output without records."""
    if read:
        s = "" if read == 1 else "s"
        remark(f"nothing was written, of {read:,} record{s} read")


def remark_nonfinite(count: int) -> None:
    """Reports numbers that JSON cannot represent."""
    if count:
        s = "" if count == 1 else "s"
        remark(
            f"{count:,} number{s} NaN or infinite became null in JSON (--nan keep|null|fail; Parquet "
            "and Arrow keep them)"
        )


# Number of remarks printed one by one; further ones are only counted.
REMARKED = 20


class RemarkedRejects(Rejects):
    """Reports bad records on stderr, for runs without a rejects file."""

    def add(self, error: RecordError) -> None:
        super().add(error)
        if self.count <= REMARKED:
            terminal.remark(f"skipped {error}")
