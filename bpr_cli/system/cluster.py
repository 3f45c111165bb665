"""A Ray cluster: its settings, and the connection to it. Ray is imported only when used."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from bpr_cli.errors import BprError, lacking
from bpr_cli.settings import NonNegative, Settings, option
from bpr_cli.system.store import is_mirrored, is_url, shown

PANEL = "Cluster"

WITHOUT_GPUS = ("cluster", "cpus_per_worker")
"""The fields of ``ClusterSettings`` that are options of commands without a network."""

REACHED_WITHIN = 10.0
"""Seconds within which something must answer at an address; Ray itself would try for many minutes."""


@dataclass(frozen=True)
class ClusterSettings(Settings):
    """A Ray cluster, and what a worker takes of it."""

    cluster: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        option(
            "Work on a Ray cluster: auto for that of this machine, or the address of its head, such as 10.0.0.1:6379",
            panel=PANEL,
            metavar="ADDRESS",
        ),
    ] = None
    cpus_per_worker: Annotated[
        Annotated[float, Meta(gt=0)], option("CPUs, and so threads, of a worker", panel=PANEL)
    ] = 1.0
    gpus_per_worker: Annotated[
        NonNegative | None,
        option(
            "GPUs of a worker; two share one with 0.5 (default: 1 if the cluster has GPUs, unless --device is cpu)",
            panel=PANEL,
        ),
    ] = None

    def check_paths(self, paths: Iterable[Path | str]) -> None:
        """Refuse URLs, and paths that stand for them: only the machine of this program has these.

        Raises:
            BprError: there are such paths.
        """
        for path in paths:
            if self.cluster and (is_url(path) or is_mirrored(path)):
                raise BprError(
                    f"--cluster needs files that all nodes see under the same paths, but {shown(path)} is a URL; mount "
                    "the bucket on every node, or give each machine a --shard"
                )


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """The module ``ray``, connected to a cluster; a connection that the calling program has made is used, and stays.

    Raises:
        BprError: Ray is not installed, or there is no cluster.
    """
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise lacking("--cluster", ["ray"]) from error
    if ray.is_initialized():
        yield ray
        return
    if address.startswith("ray://"):
        raise BprError(
            f"--cluster is {address}, a connection with which a job ends; submit the command to the cluster with ray "
            "job submit, and give --cluster auto"
        )
    _check_reached(address)
    handler = signal.getsignal(signal.SIGTERM)
    with redirect_stdout(sys.stderr):  # Ray prints what becomes of nodes
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise _refusal(address, error) from error
        with suppress(ValueError):  # outside of the main thread
            signal.signal(signal.SIGTERM, handler)  # Ray's own would leave files half written
        try:
            yield ray
        finally:
            ray.shutdown()


def _check_reached(address: str) -> None:
    """Refuse an address where nothing answers; what is no address is left to Ray.

    Raises:
        BprError: nothing answers.
    """
    host, _, port = _meant(address).rpartition(":")
    if host and port.isascii() and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), REACHED_WITHIN).close()
        except (OSError, OverflowError) as error:
            raise _refusal(address, error) from error


def _meant(address: str) -> str:
    """The address of a cluster; that of ``auto`` as Ray will find it, or nothing."""
    if address != "auto":
        return address
    with suppress(Exception):  # there is none, or Ray, which does not promise this function, has changed
        from ray._private.services import get_ray_address_from_environment  # noqa: PLC0415 - an extra

        return str(get_ray_address_from_environment(address, None))
    return ""


def _refusal(address: str, error: Exception) -> BprError:
    """Why there is no connection to a cluster, and what to do."""
    if any("AuthenticationError" in f"{type(each).__name__} {each}" for each in (error, error.__cause__)):
        return BprError(
            f"--cluster is {address}, but that Ray cluster wants its token, which was not given; set "
            "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what ray get-auth-token says on its head, or copy the file "
            "~/.ray/auth_token from there"
        )
    reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
    return BprError(
        f"--cluster is {address}, but no Ray cluster answers there ({reason}); start one with ray start --head"
    )
