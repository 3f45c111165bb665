"""Fixtures of the demo's tests; the scenes are drawn once."""

from __future__ import annotations

import pytest

from bpr_cli.demo import portrait
from bpr_cli.demo.dataset import write_demo


@pytest.fixture(scope="session")
def photo():
    return portrait.photograph()


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("demo") / "set")
