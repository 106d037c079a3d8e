"""Where the directory of a training run stands: empty, begun, or finished with a report.

One run at a time works in it, and claims it before it writes anything there. The working folder in it keeps what defines the run (``run.json``) from its beginning, and its report
(``report.json``) from its end: the same command with ``--resume`` goes on wherever it was killed, and
tells the report again once all is done.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthtools.cli import terminal
from synthtools.cli.publish import draw
from synthtools.cli.recipe import Watching
from synthtools.cli.run import Run
from synthtools.cli.watching import require_end, watched
from synthtools.errors import OutputExistsError, SynthError
from synthtools.records.claim import Claim, remove_partial
from synthtools.records.files import told, write_whole
from synthtools.records.jobs import difference
from synthtools.reports import document

if TYPE_CHECKING:
    from synthtools.training.parallel import Ranks
    from synthtools.training.plan import Outcome, Watch

_RUN = "run.json"
_REPORT = "report.json"


@contextmanager
def prepared(folder: Path, resume: bool, force: bool) -> Iterator[Claim]:
    """Room for a model in a directory, for this run alone.

    Raises:
        OutputExistsError: a model or an unfinished run is there.
        OutputInUseError: another run works there.
        SynthError: the folder cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder}: is a file; name a directory")
    made = not folder.exists()
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        claim = Claim.of_folder(folder)
    try:
        _make_room(folder, resume, force)
        yield claim
    finally:
        claim.release()
        if made:
            with suppress(OSError):  # not empty: the run has begun
                folder.rmdir()


def _make_room(folder: Path, resume: bool, force: bool) -> None:
    work = _work(folder)
    if force:
        with told(folder):
            if work.exists():
                shutil.rmtree(work)
            for file in _weights(folder, whole=False):
                file.unlink()
    elif _weights(folder) and not (resume and (work / _RUN).exists()):
        raise OutputExistsError(f"{folder}: holds a model already; --force replaces it")
    elif work.exists() and not resume:
        raise OutputExistsError(
            f"{folder}: holds an unfinished run; --resume goes on with it, --force begins anew"
        )


def begin(folder: Path, job: dict[str, Any], first: bool) -> dict[str, Any] | None:
    """The report of a run that had ended; None for one that is still to be done.

    Args:
        job: what defines the run; first: whether this process is the one of all that writes.

    Raises:
        OutputExistsError: the model there is of another run.
        SynthError: the folder cannot be written.
    """
    from synthtools.records.jsonl import parse_value

    work = _work(folder)
    wanted = json.loads(json.dumps(job))
    if _weights(folder):
        try:
            before = parse_value((work / _RUN).read_bytes())
        except (OSError, ValueError):
            before = None
        if not isinstance(before, dict):
            raise SynthError(f"{work / _RUN}: is damaged; --force begins anew")
        if before != wanted:
            raise OutputExistsError(
                f"{folder}: holds a model of other {difference(before, wanted)}; --force replaces it"
            )
        if (work / _REPORT).exists():
            return document.load(str(work / _REPORT))
    elif first:
        with told(folder):
            work.mkdir(parents=True, exist_ok=True)
            remove_partial(work, rf"\.({re.escape(_RUN)}|{re.escape(_REPORT)})")
            (work / _REPORT).unlink(missing_ok=True)
        write_whole(work / _RUN, json.dumps(wanted).encode(), claimed=True)
    return None


def end(folder: Path, report: dict[str, Any]) -> None:
    """Keeps the report of a run that is done.

    Raises:
        SynthError: somebody removed what ``--resume`` knows the run by.
    """
    path = _work(folder) / _RUN
    if not path.exists():
        raise SynthError(
            f"{path}: was removed while the run went on; the model is saved, but no --resume will "
            "know it for its own"
        )
    document.save(report, str(_work(folder) / _REPORT), claimed=True)


def carried_out(
    run: Run,
    folder: Path,
    job: dict[str, Any],
    ranks: Ranks,
    watching: Watching,
    plot: str | None,
    fit: Callable[[Watch], Outcome],
    numbers: Callable[[Outcome], dict[str, Any]],
    claim: Claim | None,
) -> dict[str, Any]:
    """The report of a training run, which is kept beside the model; of one that had ended, the kept.

    Args:
        job: what defines the run; fit: does it; numbers: the tool's own numbers of what came out;
            claim: on the folder, None in processes other than the first.

    Returns:
        The whole report; on ranks other than the first of a run that had not ended, nothing.

    Raises:
        KeyboardInterrupt: the run was stopped.
        OutputExistsError: the model there is of another run.
        SynthError: the folder was removed or replaced meanwhile.
    """
    kept = begin(folder, job, ranks.first)
    if kept is not None:
        if ranks.first and not run.quiet:
            terminal.remark(f"{folder}: all had been done; this is its report")
        if ranks.first and plot is not None:
            draw(kept, plot)
        return kept
    with watched(run, run.quiet, watching, job, ranks, _standing(folder, claim)) as watch:
        outcome = fit(watch)
    require_end(outcome, watch)
    run.count(sum(facts["documents"] for facts in outcome.facts.values()))
    if not ranks.first:
        return {}
    if outcome.ended_by:
        watch.tell(f"ended early: {outcome.ended_by}")
    report = run.finish(numbers(outcome))
    end(folder, report)
    return report


def _work(folder: Path) -> Path:
    from synthtools.training.plan import WORK

    return folder / WORK


def _standing(folder: Path, claim: Claim | None) -> Callable[[], None]:
    def check() -> None:
        if claim is not None and not claim.stands():
            raise SynthError(f"{folder}: was removed or replaced while the run went on; run again")

    return check


def _weights(folder: Path, whole: bool = True) -> list[Path]:
    from synthtools.training.plan import weight_files

    return weight_files(folder, whole)
