"""The connection to a Ray cluster, where there is none."""

import socket
import sys
from functools import cache
from types import SimpleNamespace

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
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", cache(set))  # others may run one on this machine
    said = refused("auto")
    assert said.startswith("--cluster is auto, but no Ray cluster answers there (")
    assert said.endswith("); start one with ray start --head")


@pytest.mark.parametrize("through", ["option", "environment", "file"])
def test_an_address_where_nothing_answers_is_told_at_once(through, monkeypatch, tmp_path):
    ray = pytest.importorskip("ray")

    def init(**_):
        pytest.fail("Ray would try for minutes, and fill the screen")

    monkeypatch.setattr(ray, "init", init)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nothing listens there
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address if through == "environment" else "")
        monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
        monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)
        (tmp_path / "ray").mkdir()
        (tmp_path / "ray/ray_current_cluster").write_text(address)  # as a head leaves it that was killed
        given = address if through == "option" else "auto"
        assert refused(given).startswith(f"--cluster is {given}, but no Ray cluster answers there (")


class AuthenticationError(Exception):
    """Stands for that of Ray."""


def lacking_in_the_environment(**_):
    raise AuthenticationError("Token authentication is enabled but no authentication token was found")


def refused_by_the_head(**_):
    try:
        raise RuntimeError("Failed to connect to GCS. Last: ray.exceptions.AuthenticationError: InvalidAuthToken")
    except RuntimeError as error:
        raise ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379") from error


@pytest.mark.parametrize("init", [lacking_in_the_environment, refused_by_the_head])
def test_a_cluster_that_wants_a_token(monkeypatch, init):
    exceptions = SimpleNamespace(RayError=AuthenticationError)
    monkeypatch.setitem(
        sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init, exceptions=exceptions)
    )
    with socket.create_server(("127.0.0.1", 0)) as head:
        said = refused(f"127.0.0.1:{head.getsockname()[1]}")
    assert (
        "but that Ray cluster wants its token, which was not given; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN" in said
    )


def test_connections_with_which_a_job_ends_are_refused():
    pytest.importorskip("ray")
    assert refused("ray://10.0.0.1:10001") == (
        "--cluster is ray://10.0.0.1:10001, a connection with which a job ends; submit the command to the cluster with "
        "ray job submit, and give --cluster auto"
    )


@pytest.mark.parametrize("changes", [{"cpus_per_worker": 0}, {"gpus_per_worker": -1}, {"cluster": 3}, {"cluster": ""}])
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
