"""The version of the program, in one place, and those of the packages that it runs on."""

from __future__ import annotations

from collections.abc import Iterable

__version__ = "0.3.0"


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of bpr, Python and the given packages by name; packages that are not installed are left out."""
    import platform  # noqa: PLC0415 - slow, and ``bpr --version`` needs neither
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    found = {"bpr": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
