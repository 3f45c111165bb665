"""``run.json``, which ``bpr refine`` leaves in its output: what it says, where it is, and that no reader minds it."""

import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from bpr_cli.refinement.report import SCHEMA
from tests.cli.evaluations import KINDS, NAMES, SIZE, make
from tests.cli.worlds import INFO, make_broken, record, results, tree
from tests.formats.format_builders import load, photo, pixels, save

TIMES = ("seconds", "elapsed", "peak_memory")
"""What differs between two refinements of the same."""


@pytest.fixture(params=KINDS)
def kind(request, world):
    """A format, and predictions ``before`` and ground truth ``truth`` in it."""
    make(request.param, world)
    for name in NAMES if request.param == "cityscapes" else ():
        photo(world / f"images/ulm_{name}_000019_leftImg8bit.png", SIZE)
    return request.param


def options_for(kind: str) -> tuple[str, ...]:
    return ("--images", "images", *(("--image-info", "truth.json") if kind == "coco" else ()))


def predictions_of(kind: str) -> str:
    return "before.json" if kind == "coco" else "before"


def without(document: dict, *names: str) -> dict:
    return {name: value for name, value in document.items() if name not in names}


@pytest.fixture(scope="session")
def schema() -> jsonschema.Draft202012Validator:
    document = load(SCHEMA)
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def test_it_is_what_json_prints_and_as_the_schema_says(kind, world, refine, schema):
    outcome = refine(predictions_of(kind), *options_for(kind), "--out", "out", "--json")
    assert (outcome.code, outcome.out) == (0, (world / "out/run.json").read_text())
    run = load(world / "out/run.json")
    schema.validate(run)
    assert run["inputs"] == {
        "predictions": predictions_of(kind),
        "images": "images",
        "image_info": "truth.json" if kind == "coco" else None,
        "ignore_labels": [255],
    }
    assert (run["output"], run["format"], run["images"], run["failures"]) == ("out", kind, 3, [])
    assert all((world / item["image"]).is_file() for item in run["items"])
    assert {"bpr", "python", "torch", "numpy"} <= set(run["versions"])
    assert ("openvino" in run["versions"]) == (run["backend"] == "openvino")


def test_items_make_up_the_whole(kind, world, refine):
    refine(predictions_of(kind), *options_for(kind), "--out", "out", "--min-iou-with-coarse", "0.8")
    run = load(world / "out/run.json")
    assert (len(run["items"]), run["resumed"]) == (run["images"], 0)
    for name in ("segments", "patches", "kept_coarse"):
        assert run[name] == sum(item[name] for item in run["items"])
    # All images hold masks of the same sizes, so that the means of all are those of the images.
    for name in ("boundary_movement", "area_change"):
        assert run[name] == pytest.approx(np.mean([item[name] for item in run["items"]]), abs=1e-4)
    names = {"coco": ["1", "2", "3"], "cityscapes": [f"ulm_{name}_000019_leftImg8bit_pred.txt" for name in NAMES]}
    assert [item["name"] for item in run["items"]] == names.get(kind, ["a.png", "b.png", "c.png"])
    assert all(item["patches"] > 0 and not item["resumed"] for item in run["items"])


def test_the_change_of_areas_is_that_of_the_files(world, refine):
    refine("masks", "--images", "images", "--out", "out")
    items = load(world / "out/run.json")["items"]
    before, after = ([pixels(world / f"{folder}/{name}.png") > 0 for name in NAMES] for folder in ("masks", "out"))
    changes = [abs(int(new.sum()) - int(old.sum())) / old.sum() for old, new in zip(before, after, strict=True)]
    assert max(changes) > 0
    assert [item["area_change"] for item in items] == pytest.approx(changes, abs=1e-6)


def test_twice_the_same_but_for_times(kind, world, refine):
    found = []
    for _ in range(2):
        assert refine(predictions_of(kind), *options_for(kind), "--out", "out").code == 0
        found.append((results(world / "out"), without(load(world / "out/run.json"), *TIMES)))
        shutil.rmtree(world / "out")
    assert found[0] == found[1]


def test_it_tells_of_the_last_refinement_and_of_what_was_done_before(kind, world, refine, schema):
    runs = []
    for _ in range(2):
        refine(predictions_of(kind), *options_for(kind), "--out", "out")
        runs.append(load(world / "out/run.json"))
    schema.validate(runs[1])
    assert [run["resumed"] for run in runs] == [0, 3]
    assert without(runs[0], *TIMES, "resumed", "items") == without(runs[1], *TIMES, "resumed", "items")
    assert [{**item, "resumed": True} for item in runs[0]["items"]] == runs[1]["items"]


def test_an_output_is_read_as_if_nothing_else_lay_in_it(kind, world, refine, bpr):
    refine(predictions_of(kind), *options_for(kind), "--out", "out", "--pictures", "2")
    assert len(list((world / "out/pictures").iterdir())) == 2
    shutil.copytree(world / "out", world / "bare", ignore=shutil.ignore_patterns("run.json", ".bpr", "pictures"))
    truth = "truth.json" if kind == "coco" else "truth"
    figures = []
    for folder in ("out", "bare"):
        measured = bpr("evaluate", folder, "--ground-truth", truth, "--json")
        assert measured.code == 0, measured.err
        figures.append(json.loads(measured.out)["summary"])
        again = refine(folder, *options_for(kind), "--out", f"again-{folder}")
        assert (again.code, again.errors) == (0, [])
    assert figures[0] == figures[1]
    assert results(world / "again-out") == results(world / "again-bare")


def test_failures_are_told(world, refine, schema):
    make_broken(world)
    outcome = refine("preds", "--images", "images", "--out", "out")
    run = load(world / "out/run.json")
    schema.validate(run)
    assert (outcome.code, run["images"], [item["name"] for item in run["items"]]) == (1, 1, ["d.png"])
    assert [failure["reason"] for failure in run["failures"]] == outcome.errors


def test_an_output_of_one_file_has_none_beside_it(world, refine, schema):
    save(world / "r.json", [record(1)])
    save(world / "info.json", INFO)
    for arguments, out in (
        (("masks/a.png", "--images", "images"), "one/refined.png"),
        (("r.json", "--images", "images", "--image-info", "info.json"), "two/refined.json"),
    ):
        outcome = refine(*arguments, "--out", out, "--json")
        assert list(tree((world / out).parent)) == [Path(out).name]
        schema.validate(json.loads(outcome.out))
        assert refine(*arguments, "--out", f"{Path(out).parent}/folder").code == 0
        assert (world / out).with_name("folder").joinpath("run.json").exists()


def test_predictions_that_are_called_the_same(world, refine, bpr):
    save(world / "preds/run.json", [record(1), record(2)])
    save(world / "info.json", INFO)
    arguments = ("--images", "images", "--image-info", "info.json")
    for given in ("preds/run.json", "preds"):
        assert refine(given, *arguments, "--out", "out").code == 0
        assert [each["image_id"] for each in load(world / "out/run.json")] == [1, 2]
        assert bpr("check", "out", *arguments).code == 0
        shutil.rmtree(world / "out")


@pytest.mark.parametrize("content", ['{"settings": {}}', "", '[{"kind": "bpr refinement"}]'])
def test_a_file_that_is_something_else_is_not_overwritten(content, world, refine):
    (world / "out").mkdir()
    (world / "out/run.json").write_text(content)
    before = tree(world)
    for options in ((), ("--overwrite",), ("--dry-run",)):
        outcome = refine("masks", "--images", "images", "--out", "out", *options)
        assert outcome.code == 2
        assert outcome.errors == [
            "the report of the refinement would overwrite out/run.json, which is something else; move that file, or "
            "choose another --out"
        ]
        assert tree(world) == before
