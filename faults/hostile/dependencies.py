"""Known vulnerabilities of what is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from faults.cases import ROOT, Seen, Skipped, case

if TYPE_CHECKING:
    pass


@case("pip-audit over what is installed")
def pip_audit(folder: Path) -> Seen:
    if find_spec("pip_audit") is None:
        raise Skipped("pip-audit is not installed (pip install pip-audit)")
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--local",
        "--skip-editable",
        "--progress-spinner",
        "off",
    ]
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    try:
        done = subprocess.run(
            [*command, "--format", "json"],
            capture_output=True,
            env=environment,
            timeout=300,
            cwd=ROOT,
        )
        found = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        raise Skipped("pip-audit cannot reach a list of vulnerabilities from here") from error
    bad = [
        f"{one['name']} {one['version']}: {', '.join(v['id'] for v in one['vulns'])}"
        for one in found
        if one.get("vulns")
    ]
    return Seen(
        f"{len(found)} packages, {len(bad)} with known vulnerabilities",
        done.returncode,
        lost="; ".join(_of_ours(bad)),
    )


def _of_ours(bad: Sequence[str]) -> list[str]:
    """Those findings that are of what synth needs; others are of this environment alone."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {line.split(">")[0].split("[")[0] for line in project["dependencies"]}
    return [line for line in bad if line.split(" ")[0] in names]
