"""The connection to a Ray cluster, where there is none."""

import sys

import pytest

from bpr_cli.errors import BprError
from bpr_cli.system.cluster import ClusterSettings, connected


def refused(address: str) -> str:
    with pytest.raises(BprError) as error, connected(address):
        pass
    return str(error.value)


def test_ray_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert refused("auto") == "--cluster needs the package ray; install it with pip install ray"


def test_there_is_no_cluster(monkeypatch, tmp_path):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    said = refused("auto")
    assert said.startswith("--cluster is auto, but no Ray cluster answers there (")
    assert said.endswith("); start one with ray start --head")


def test_connections_with_which_a_job_ends_are_refused():
    pytest.importorskip("ray")
    assert refused("ray://10.0.0.1:10001") == (
        "--cluster is ray://10.0.0.1:10001, a connection with which a job ends; submit the command to the cluster with "
        "ray job submit, and give --cluster auto"
    )


@pytest.mark.parametrize("changes", [{"cpus_per_worker": 0}, {"gpus_per_worker": -1}, {"cluster": 3}])
def test_settings_are_checked(changes):
    with pytest.raises(BprError, match=f"{next(iter(changes))} is "):
        ClusterSettings(**changes)


def test_urls_are_refused():
    ClusterSettings().check_paths(["s3://bucket/preds"])
    ClusterSettings(cluster="auto").check_paths(["preds"])
    with pytest.raises(
        BprError, match=r"but s3://bucket/preds is a URL; mount the bucket on every node, or give each "
    ):
        ClusterSettings(cluster="auto").check_paths(["s3://bucket/preds"])
