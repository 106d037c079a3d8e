"""Bad records that no file keeps."""

from __future__ import annotations

from synthtools.cli import terminal
from synthtools.errors import RecordError
from synthtools.records.rejects import Rejects

# So many are told one by one, the rest as a number.
REMARKED = 20


class RemarkedRejects(Rejects):
    """Bad records told on stderr, for want of a file to keep them in."""

    def add(self, error: RecordError) -> None:
        super().add(error)
        if self.count <= REMARKED:
            terminal.remark(f"skipped {error}")
