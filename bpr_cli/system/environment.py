"""Package versions and peak memory of a run, for reports."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from bpr_cli.version import __version__


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of bpr, Python and the given packages by name; packages that are not installed are left out."""
    found = {"bpr": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def peak_memory() -> int | None:
    """Peak resident memory of this process in bytes; None on Windows, where it is not available."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - missing on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
