"""``run.json``: its schema, and that it stands for a refinement that was completed."""

import json
from dataclasses import asdict, replace
from typing import get_args

import jsonschema
import pytest
from PIL import Image

import bpr_cli.refinement.report as module
from bpr_cli.formats.open import open_predictions
from bpr_cli.inference.settings import BackendName
from bpr_cli.refinement.image import RefinementStats
from bpr_cli.refinement.in_process import InProcess
from bpr_cli.refinement.job import refine_opened
from bpr_cli.refinement.report import reason_for_stillness
from tests.formats.format_builders import load, png
from tests.inference.engines import blob, picture

SIZE = (36, 44)


def test_the_committed_schema_is_the_generated_one():
    """If not: python -m bpr_cli.refinement.report"""
    schema = load(module.SCHEMA)
    assert module.json_schema() == schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["backend"]["enum"] == [name for name in get_args(BackendName) if name != "auto"]


def test_every_field_is_described_and_required_and_no_other_allowed():
    schema = load(module.SCHEMA)
    for part in (schema, *schema["$defs"].values()):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])
        assert all("description" in field for field in part["properties"].values())


@pytest.fixture
def opened(tmp_path):
    for name in "abc":
        png(tmp_path / f"masks/{name}.png", blob(SIZE, ord(name)).astype("uint8") * 255)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(picture(SIZE)).save(tmp_path / f"images/{name}.png")
    return open_predictions(tmp_path / "masks", tmp_path / "images")


def test_a_refinement_that_was_stopped_leaves_no_report(opened, refiner, tmp_path):
    out = tmp_path / "out"
    refine_opened(InProcess.of(refiner), opened, out)
    assert (out / "run.json").exists()

    def stop(item):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refine_opened(InProcess.of(refiner), opened, out, overwrite=True, on_item=stop)
    assert not (out / "run.json").exists()
    summary = refine_opened(InProcess.of(refiner), opened, out)
    assert summary.images == len(load(out / "run.json")["items"]) == 3


MOVED = RefinementStats(segments=4, patches=40, changed=500, boundary_length=1000, area=40_000)


def stats(**changes):
    return RefinementStats(**{**vars(MOVED), "changed": 3, **changes})


@pytest.mark.parametrize(
    ("found", "core", "said"),
    [
        (RefinementStats(), 1, "the predictions hold no segments, or all pixels are void"),
        (RefinementStats(segments=3), 1, "all 3 masks are empty"),
        (RefinementStats(segments=1), 1, "the mask is empty"),
        (stats(patches=0, boundary_length=0, changed=0), 1, "no segment has a boundary inside its image"),
        (
            stats(kept_coarse=4),
            1,
            "moved by 0.003 px on average, which is almost nothing: 4 of 4",
        ),
        (stats(kept_coarse=2), 1, "2 of 4 segments exceeded a limit and were kept coarse"),
        (stats(kept_coarse=1), 0, "--core 0 keeps nearly all pixels of a mask"),
        (stats(area=100), 0.2, "the segments are tiny, 25 pixels on average"),
        (stats(), 0.2, "the boundaries already agree with the images, or the weights do not suit them"),
    ],
)
def test_the_reason(found, core, said):
    assert said in (reason_for_stillness(found, core) or "")


def test_a_refinement_that_moved_boundaries_needs_no_note():
    assert reason_for_stillness(MOVED, 1) is None


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_report_that_is_written_image_by_image_is_the_whole_document(count, opened, refiner, tmp_path):
    summary = refine_opened(InProcess.of(refiner), opened, tmp_path / "out")
    summary = replace(summary, items=[replace(summary.items[0], name=f"ä{number}[]\n") for number in range(count)])
    module.write_report(tmp_path / "run.json", summary)
    assert (tmp_path / "run.json").read_text() == json.dumps(asdict(summary), indent=2) + "\n"
