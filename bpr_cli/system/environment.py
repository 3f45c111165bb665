"""Versions of what took part, as reports state them."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from bpr_cli.version import __version__


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of bpr, of Python and of those packages that are installed, by name."""
    found = {"bpr": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
