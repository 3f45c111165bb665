"""Ray clusters on this machine, for tests."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bpr_cli.system.cluster import ClusterSettings

STORE = 80 * 2**20
"""Bytes of shared memory that a node takes; the least that Ray accepts is 75 MiB."""


@contextmanager
def small_cluster() -> Iterator[object]:
    """A cluster of a head without CPUs and one node with one CPU, and so of one worker."""
    from ray.cluster_utils import Cluster

    # The dashboard takes longer to start than everything else; on a busy machine it takes minutes.
    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    add_node(cluster)
    yield cluster
    with suppress(Exception):
        cluster.shutdown()


def add_node(cluster):
    """Let a node of one CPU join."""
    return cluster.add_node(num_cpus=1, object_store_memory=STORE)


def on(cluster, **changes) -> ClusterSettings:
    """The settings of a cluster."""
    return ClusterSettings(cluster=cluster.address, **changes)
