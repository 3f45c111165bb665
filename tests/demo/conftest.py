"""The files of the demo, written once."""

from __future__ import annotations

import shutil

import pytest

from bpr_cli.demo.run import PHOTOS
from bpr_cli.demo.scene import write_scenes


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """A directory with the photographs and the scenes."""
    root = tmp_path_factory.mktemp("demo")
    shutil.copytree(PHOTOS, root / "photos")
    write_scenes(root)
    return root
