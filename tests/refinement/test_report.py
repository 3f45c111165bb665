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
from bpr_cli.refinement.in_process import InProcess
from bpr_cli.refinement.job import refine_opened
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


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_report_that_is_written_image_by_image_is_the_whole_document(count, opened, refiner, tmp_path):
    summary = refine_opened(InProcess.of(refiner), opened, tmp_path / "out")
    summary = replace(summary, items=[replace(summary.items[0], name=f"ä{number}[]\n") for number in range(count)])
    module.write_report(tmp_path / "run.json", summary)
    assert (tmp_path / "run.json").read_text() == json.dumps(asdict(summary), indent=2) + "\n"
