"""Ray clusters on this machine, for tests."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bpr_cli.system.cluster import ClusterSettings

STORE = 80 * 2**20
"""Bytes of shared memory that a node takes; the least that Ray accepts is 75 MiB."""


STARTS = 3
"""Starts of a cluster before tests fail: Ray gives a node half a minute, which a busy machine may exceed."""


@contextmanager
def small_cluster() -> Iterator[object]:
    """A cluster of a head without CPUs and one node with one CPU, and so of one worker."""
    os.environ.setdefault("RAY_worker_niceness", "0")  # else whatever runs beside the workers goes before them
    cluster = started(STARTS)
    yield cluster
    with suppress(Exception):
        cluster.shutdown()


def started(tries: int):
    """Start a cluster, again if it takes Ray too long."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        # The dashboard takes longer to start than everything else; on a busy machine it takes minutes.
        cluster.add_node(num_cpus=0, object_store_memory=STORE, include_dashboard=False)
        add_node(cluster)
    except Exception:
        cluster.shutdown()
        if tries == 1:
            raise
        return started(tries - 1)
    return cluster


def add_node(cluster):
    """Let a node of one CPU join."""
    return cluster.add_node(num_cpus=1, object_store_memory=STORE)


def on(cluster, **changes) -> ClusterSettings:
    """The settings of a cluster."""
    return ClusterSettings(cluster=cluster.address, **changes)
