"""What a run says on stderr, also of bad records that no file keeps."""

from __future__ import annotations

from collections.abc import Sequence

from synthtools.cli import terminal
from synthtools.cli.terminal import remark
from synthtools.errors import RecordError
from synthtools.records.rejects import Rejects


def tell_skipped(rejects: Rejects, file: str | None) -> None:
    """Tells how many records were bad, and why."""
    if rejects.count:
        reasons = ", ".join(f"{n} × {why}" for why, n in rejects.reasons.most_common(3))
        more = " …" if len(rejects.reasons) > 3 else ""
        kept = f"; kept in {file}" if rejects.file else ""
        remark(f"{rejects.count} skipped: {reasons}{more}{kept}")


def tell_empty(names: Sequence[str]) -> None:
    """Tells of inputs without a record."""
    if names:
        more = f" and {len(names) - 3:,} others" if len(names) > 3 else ""
        remark(f"no records in {', '.join(dict.fromkeys(names[:3]))}{more}")


def tell_nothing_written(read: int) -> None:
    """Tells of an output without a record."""
    if read:
        s = "" if read == 1 else "s"
        remark(f"nothing was written, of {read:,} record{s} read")


def tell_nonfinite(count: int) -> None:
    """Tells of numbers that JSON cannot say."""
    if count:
        s = "" if count == 1 else "s"
        remark(
            f"{count:,} number{s} NaN or infinite became null in JSON (--nan keep|null|fail; Parquet "
            "and Arrow keep them)"
        )


# Remarks printed one by one; the others are only counted.
REMARKED = 20


class RemarkedRejects(Rejects):
    """Bad records reported on stderr where no file keeps them."""

    def add(self, error: RecordError) -> None:
        super().add(error)
        if self.count <= REMARKED:
            terminal.remark(f"skipped {error}")
