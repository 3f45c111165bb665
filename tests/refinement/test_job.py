"""``refine`` and ``check``: from files to files by one call, as the commands do."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from bpr_cli.errors import BprError
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.refinement.check import check
from bpr_cli.refinement.job import refine
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.weights.card import shipped_weights
from tests.formats.format_builders import load, pixels, png
from tests.inference.engines import blob, picture

SIZE = (36, 44)


@pytest.fixture
def settings(weights_of):
    return RefineSettings(weights=str(weights_of("unet-s")), device="cpu", workers=1)


def test_files_are_refined_as_arrays_and_what_was_done_is_returned(world, settings, refiner):
    seen = []
    summary = refine(world / "masks", world / "images", world / "out", settings, on_item=seen.append)
    assert [item.name for item in seen] == ["a.png", "b.png", "c.png"]
    assert (summary.images, summary.resumed, summary.failures) == (3, 0, [])
    for number, name in enumerate("abc"):
        expected = refiner.refine(picture(SIZE, number), blob(SIZE, number))
        np.testing.assert_array_equal(pixels(world / f"out/{name}.png") > 0, expected)
    assert load(world / "out/run.json") == json.loads(json.dumps(asdict(summary)))


def test_paths_may_be_text_and_a_repeated_call_resumes(world, settings):
    places = (str(world / "masks"), str(world / "images"), str(world / "out"))
    refine(*places, settings)
    (world / "out/b.png").unlink()
    again = refine(*places, settings)
    assert (again.images, again.resumed) == (3, 2)
    assert refine(*places, settings, overwrite=True).resumed == 0


@pytest.mark.parametrize("weights", shipped_weights())
def test_all_that_the_shipped_weights_do_can_be_resumed(world, weights):
    places = (world / "masks", world / "images", world / "out")
    settings = RefineSettings(weights=weights, device="cpu", workers=1)
    first = refine(*places, settings)
    (world / "out/b.png").unlink()
    again = refine(*places, settings)
    assert (again.images, again.resumed, again.weights) == (3, 2, first.weights)


def test_a_finished_output_is_checked_without_loading_the_network(world, settings, monkeypatch):
    places = (world / "masks", world / "images", world / "out")
    first = refine(*places, settings)
    before = (world / "out/run.json").read_bytes()

    def refuse(*_):
        raise AssertionError("the network was loaded")

    with monkeypatch.context() as patched:
        patched.setattr("bpr_cli.refinement.refiner.Refiner.__init__", refuse)
        again = refine(*places, replace(settings, workers=2, batch_size=8))
        assert (again.images, again.resumed) == (3, 3)
        assert (again.versions, again.weights, again.backend) == (first.versions, first.weights, first.backend)
        (world / "out/b.png").unlink()
        with pytest.raises(AssertionError, match="the network was loaded"):
            refine(*places, settings)
    assert refine(*places, settings).resumed == 2
    assert comparable(json.loads(before)) == comparable(load(world / "out/run.json"))


def comparable(report):
    """A report without times and without what tells a resumed image from another."""
    items = [{**item, "resumed": None} for item in report["items"]]
    return {**report, "items": items, **dict.fromkeys(("seconds", "elapsed", "peak_memory", "resumed"))}


def test_other_settings_and_outputs_among_the_inputs_are_refused(world, settings):
    with pytest.raises(BprError, match=r"would overwrite .* which is an input"):
        refine(world / "masks", world / "images", world / "images", settings)
    refine(world / "masks", world / "images", world / "out", settings)
    other = RefineSettings(weights=settings.weights, device="cpu", nms_threshold=0.5)
    for function in (refine, check):
        with pytest.raises(BprError, match=r"nms_threshold=null, but this run uses nms_threshold=0\.5"):
            function(world / "masks", world / "images", world / "out", other)
    assert check(world / "masks", world / "images", world / "out", other, overwrite=True).images == 3


def test_files_that_no_refinement_wrote_are_kept(world, settings):
    """Ground truth of the same names, for instance; only ``overwrite`` replaces it."""
    other = png(world / "truth/b.png", np.zeros(SIZE, np.uint8)).read_bytes()
    for function in (refine, check):
        with pytest.raises(BprError, match=r"truth already holds b\.png, which no refinement wrote"):
            function(world / "masks", world / "images", world / "truth", settings)
    assert [path.name for path in (world / "truth").iterdir()] == ["b.png"]
    assert (world / "truth/b.png").read_bytes() == other
    refine(world / "masks", world / "images", world / "truth", settings, overwrite=True)
    assert (world / "truth/b.png").read_bytes() != other


def test_options_say_how_predictions_are_read(world, settings):
    with pytest.raises(BprError, match="holds no JSON file"):
        refine(world / "masks", world / "images", world / "out", settings, ReadSettings(format="coco"))
    assert not (world / "out").exists()


def test_a_check_counts_what_a_refinement_does_and_writes_nothing(world, settings):
    (world / "masks/c.png").write_bytes(b"")
    before = sorted(world.rglob("*"))
    seen = []
    found = check(world / "masks", world / "images", None, settings, on_item=seen.append)
    assert sorted(world.rglob("*")) == before
    done = refine(world / "masks", world / "images", world / "out", settings)
    assert len(seen) == 3
    assert (
        (found.images, found.segments, found.patches)
        == (done.images, done.segments, done.patches)
        == (2, 2, done.patches)
    )
    assert found.failures == done.failures


def test_progress_goes_to_standard_error_if_asked_for(world, settings, capfd):
    refine(world / "masks", world / "images", world / "out", settings, progress=True)
    shown = capfd.readouterr()
    assert "refining" in shown.err
    assert shown.out == ""
    refine(world / "masks", world / "images", world / "out", settings)
    assert capfd.readouterr().err == ""
