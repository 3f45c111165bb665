"""The commands of docs/how-to/polygons.md, as they stand there."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.cli.worlds import INFO, REPOSITORY, record
from tests.formats.format_builders import save

PAGE = REPOSITORY / "docs/how-to/polygons.md"


@pytest.fixture
def folders(world: Path, bpr) -> Path:
    """What the page says the reader has."""
    annotations = [{**record(number), "id": number} for number in (1, 2, 3)]
    save(world / "instances.json", {**INFO, "annotations": annotations, "categories": [{"id": 1, "name": "disc"}]})
    assert bpr("convert", "instances.json", "runs/segment/predict", "--format", "yolo").code == 0
    shutil.copytree("runs/segment/predict/labels", "labels")
    shutil.copytree("images", "annotated")
    assert bpr("convert", "instances.json", "made", "--format", "labelme", "--images", "annotated").code == 0
    for path in Path("made").glob("*.json"):
        document = json.loads(path.read_text())
        save(world / "annotated" / path.name, {**document, "imagePath": Path(document["imagePath"]).name})
    shutil.copy("runs/segment/predict/data.yaml", "data.yaml")
    return world


@pytest.mark.skipif(not PAGE.is_file(), reason="the documentation is not here")
def test_every_command_works(folders, bpr, random_weights):
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    commands = [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]
    assert len(commands) == 7
    for command in commands:
        more = ["--weights", random_weights] if command[0] == "refine" else []
        outcome = bpr(*command, *more)
        assert (outcome.code, outcome.errors) == (0, []), command
    assert sorted(path.name for path in Path("refined").glob("*.txt")) == ["a.txt", "b.txt", "c.txt"]
    assert sorted(path.name for path in Path("refined-shapes").glob("*.json")) == [
        "a.json",
        "b.json",
        "c.json",
        "run.json",
    ]
