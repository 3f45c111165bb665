"""``bpr demo``: an example of every task, with scores and pictures."""

import json

import pytest

from bpr_cli.demo import scene
from tests.cli.worlds import tree
from tests.formats.format_builders import pixels

PARTS = ["photos", "instances", "semantic", "panoptic"]


@pytest.fixture
def one_scene(monkeypatch):
    """One scene is enough to see the command at work."""
    monkeypatch.setattr(scene, "SCENES", 1)


def test_the_demo_refines_measures_and_draws(one_scene, world, bpr, random_weights):
    out = "with space/Größe"
    outcome = bpr("demo", "--out", out, "--weights", random_weights, "--json")
    assert (outcome.code, outcome.errors) == (0, [])
    lines = outcome.err.splitlines()
    assert lines[:4] == [f"refining {part}" for part in PARTS]
    assert max(map(len, lines[:-1])) <= 80
    assert [line.split("│")[1].strip() for line in lines if line.startswith("│")] == PARTS
    assert lines[-2].startswith("photos have no exact ground truth")
    assert lines[-1] == f"pictures: {out}/pictures, refined predictions: {out}/refined"
    results = json.loads(outcome.out)
    assert [result["name"] for result in results] == PARTS
    assert results[0]["before"] is results[0]["after"] is None
    for result in results:
        assert result["name"] == "photos" or 0 < result["after"]["iou"] < 1
        assert len(result["pictures"]) == result["images"] == (3 if result["name"] == "photos" else 1)
        for picture in result["pictures"]:
            assert pixels(world / picture).ndim == 3
    again = bpr("demo", "--out", out, "--weights", random_weights)
    assert again.errors == [f"the output {out} already holds files; give another path, or --overwrite to replace them"]
    assert {"photos/vase.jpg", "photos/ATTRIBUTION.txt", "refined", "truth/panoptic.json"} <= set(tree(world / out))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--weights", "nix"], "there are no weights 'nix': there is no such file"),
        (["--device", "gpu"], "device is 'gpu'; expected auto, cpu"),
        (["--out", "masks/a.png"], "masks/a.png is a file, expected a folder; give another --out"),
        (["--out", "masks/a.png/deep"], "masks/a.png/deep cannot be made, because masks/a.png is not a directory"),
    ],
    ids=["weights", "device", "out is a file", "out is below a file"],
)
def test_what_cannot_be_done_is_one_sentence(arguments, sentence, world, bpr, random_weights):
    before = tree(world)
    weights = () if "--weights" in arguments else ("--weights", random_weights)
    outcome = bpr("demo", *weights, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert len(outcome.errors) == 1
    assert sentence in outcome.errors[0]
    assert "Traceback" not in outcome.err
    assert tree(world) == before
