"""One cluster for all tests of the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ray_nodes import Nodes


@pytest.fixture(scope="package")
def nodes() -> Iterator[Nodes]:
    pytest.importorskip("ray")
    from synthtools.scale.ray_cluster import disconnect

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    found = Nodes()
    yield found
    disconnect()
    found.close()
