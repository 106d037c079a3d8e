"""The studies' scripts with ``synth`` on the path, as a user has it; its starts are those of the tests."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from running import command

STUDIES = Path(__file__).resolve().parents[2] / "studies"


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "synth"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "STUDY_IS_WARM": "1", "PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture
def study(environment, tmp_path):
    """Runs a study in an empty directory; with what it printed on stderr."""

    def run(name, *words, timeout=600):
        work = [] if "--rows" in words else ["--work", tmp_path / name]
        done = subprocess.run(
            [STUDIES / name / f"{name}.sh", *work, *map(str, words)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done

    return run
