"""The directory of a training run: empty, started, or finished with a report.

A run claims the directory before it writes to it. The working folder inside has the run's job (``run.json``)
from the start, and its report (``report.json``) at the end: the same command with ``--resume`` continues a
killed run, and prints the report of a finished one.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from synthtools.errors import OutputExistsError, SynthError, parameter
from synthtools.records.atomic_files import write_errors, write_whole
from synthtools.records.job_difference import difference
from synthtools.records.jsonl import parse_value
from synthtools.records.output_lock import OutputLock, remove_partial
from synthtools.reports import document
from synthtools.training.plan import LOG, WORK

_RUN = "run.json"
_REPORT = "report.json"


def weight_files(folder: Path, whole: bool = True) -> list[Path]:
    """The files of weights in a folder.

    Args:
        whole: only files that prove that the model is complete; otherwise also parts.
    """
    names = ["model.safetensors", "adapter_model.safetensors", "model.safetensors.index.json"]
    if not whole:
        names.append("model-*-of-*.safetensors")
    return [path for name in names for path in sorted(folder.glob(name))]


class RunDirectory:
    """The model directory of a run.

    Args:
        claim: of this process; None on ranks other than the first, which do not write.
    """

    def __init__(self, folder: Path, claim: OutputLock | None = None) -> None:
        self.folder = folder
        self._claim = claim
        self._job = folder / WORK / _RUN
        self._report = folder / WORK / _REPORT

    @classmethod
    @contextmanager
    def claimed(cls, folder: Path, resume: bool, force: bool) -> Iterator[RunDirectory]:
        """Claims a directory for a model.

        Raises:
            OutputExistsError: it has a model or an unfinished run.
            OutputInUseError: another run uses it.
            SynthError: the folder cannot be written.
        """
        if folder.exists() and not folder.is_dir():
            raise OutputExistsError(f"{folder}: is a file; name a directory")
        made = not folder.exists()
        with write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            claim = OutputLock.of_folder(folder)
        try:
            directory = cls(folder, claim)
            directory._make_room(resume, force)
            yield directory
        finally:
            claim.release()
            if made:
                with suppress(OSError):  # not empty: the run has started
                    folder.rmdir()

    def _make_room(self, resume: bool, force: bool) -> None:
        folder, work = self.folder, self.folder / WORK
        if force:
            with write_errors(folder):
                if work.exists():
                    shutil.rmtree(work)
                for file in weight_files(folder, whole=False):
                    file.unlink()
        elif weight_files(folder) and not (resume and self._job.exists()):
            raise OutputExistsError(
                f"{folder}: holds a model already; {parameter('force')} replaces it"
            )
        elif work.exists() and not resume:
            raise OutputExistsError(
                f"{folder}: holds an unfinished run; {parameter('resume')} continues it, {parameter('force')} starts over"
            )

    def begin(self, job: dict[str, Any], first: bool) -> dict[str, Any] | None:
        """The report of a finished run; None if there is work to do.

        Args:
            job: identifies the run.
            first: whether this is the first rank, which writes.

        Raises:
            OutputExistsError: the directory has a model of another run.
            SynthError: the folder cannot be written.
        """
        wanted = json.loads(json.dumps(job))
        work = self.folder / WORK
        if first and work.is_dir():
            with write_errors(self.folder):
                remove_partial(work, rf"\.({'|'.join(map(re.escape, (_RUN, _REPORT, LOG)))})")
        if weight_files(self.folder):
            try:
                before = parse_value(self._job.read_bytes())
            except (OSError, ValueError):
                before = None
            if not isinstance(before, dict):
                raise SynthError(f"{self._job}: is damaged; {parameter('force')} starts over")
            if before != wanted:
                raise OutputExistsError(
                    f"{self.folder}: holds a model of other {difference(before, wanted)}; {parameter('force')} "
                    "replaces it"
                )
            if self._report.exists():
                return document.load(str(self._report))
        elif first:
            with write_errors(self.folder):
                work.mkdir(parents=True, exist_ok=True)
                self._report.unlink(missing_ok=True)
            write_whole(self._job, json.dumps(wanted).encode(), claimed=True)
        return None

    def end(self, report: dict[str, Any]) -> None:
        """Stores the report of a finished run.

        Raises:
            SynthError: ``run.json``, which identifies the run, was removed.
        """
        if not self._job.exists():
            raise SynthError(
                f"{self._job}: was removed while the run went on; the model is saved, but {parameter('resume')} "
                "cannot recognise it"
            )
        document.save(report, str(self._report), claimed=True)

    def check(self) -> None:
        """Raises SynthError if the directory was removed or replaced during the run."""
        if self._claim is not None and not self._claim.stands():
            raise SynthError(
                f"{self.folder}: was removed or replaced while the run went on; run again"
            )


# Libraries in Rust (safetensors, tokenizers) wrap operating-system errors.
_SYSTEM = re.compile(r"([^:]+) \(os error \d+\)")


@contextmanager
def saving(place: Path, what: str) -> Iterator[None]:
    """Turns errors of a write into one line.

    Args:
        place: where ``what`` is saved.

    Raises:
        SynthError: the disk is full, or writing is not permitted.
    """
    try:
        yield
    except Exception as error:
        why = reason(error)
        if why is None:
            raise
        raise SynthError(f"{place}: {what} cannot be saved: {why}") from error


def reason(error: Exception) -> str | None:
    """Why the system refused a write; None for other errors."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    match = _SYSTEM.search(str(error))
    return match[1].strip() if match else None
