"""A real Ray cluster of two nodes on this machine, small."""

from __future__ import annotations

from typing import Any

_STORE = 80 << 20


class Nodes:
    """The cluster: a node that stays, and a second one that may be killed and comes again."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "object_store_memory": _STORE, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self._cluster.address
        self._second: Any = None

    def second(self) -> None:
        """Sees that the second node is there."""
        if self._second is None:
            self._second = self._cluster.add_node(num_cpus=1, object_store_memory=_STORE)
            self._cluster.wait_for_nodes()

    def kill(self) -> None:
        """Kills the second node with all that runs on it, at once: workers of a dead node answer for
        up to a second more."""
        import psutil

        raylets = self._second.all_processes["raylet"]
        workers = [
            c for r in raylets for c in psutil.Process(r.process.pid).children(recursive=True)
        ]
        for worker in workers:
            worker.kill()
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = None

    def close(self) -> None:
        self._cluster.shutdown()
