"""The script that the README gives to CI, run as it stands there."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from tests.cli.worlds import REPOSITORY, SIZE, tree
from tests.formats.format_builders import disc
from tests.inference.engines import photograph

MARKER = "<!-- ci: gate -->\n```sh\n"

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or shutil.which("jq") is None, reason="the script needs bash and jq"
)


@pytest.fixture
def script(world):
    """Run the script of the README in the world."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert readme.count(MARKER) == 1
    (world / "refine.sh").write_text(readme.split(MARKER)[1].split("```")[0], encoding="utf-8")
    program = world / "bin/bpr"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bpr_cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)

    def run(*arguments, **environment):
        path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
        return subprocess.run(
            ["bash", "refine.sh", *arguments],
            cwd=world,
            env=os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY)} | environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    return run


def test_all_is_well(world, script):
    # The images of the world show nothing of the masks, so a network may move boundaries anywhere.
    done = script("masks", "images", "refined dir", MAX_MOVEMENT="100")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert re.fullmatch(r"3 images, \d+ patches, about [\d.]+ s", first)
    assert re.fullmatch(r"3 images refined, boundaries of 3 segments moved by [\d.]+ px", second)
    assert json.loads((world / "summary.json").read_text())["images"] == 3
    assert {"a.png", "b.png", "c.png"} <= set(tree(world / "refined dir"))


def test_broken_input_stops_it_before_anything_is_refined(world, script):
    (world / "images/b.png").write_text("not an image")
    before = tree(world)
    done = script("masks", "images", "refined")
    assert done.returncode == 1
    assert "error: images/b.png is not a PNG, JPEG, TIFF, WebP or BMP image" in done.stderr
    assert tree(world) == before


def test_unusable_input(script):
    done = script("nix", "images", "refined")
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: nix does not exist" in done.stderr


def test_boundaries_that_move_further_than_they_may(world, script):
    shown = photograph(disc(SIZE, (40, 48), 25))  # its object reaches 5 pixels beyond the masks
    for path in (world / "images").iterdir():
        Image.fromarray(shown).save(path)
    done = script("masks", "images", "refined", MAX_MOVEMENT="0")
    assert done.returncode == 1
    assert done.stderr.endswith("boundaries moved further than 0 px\n")
