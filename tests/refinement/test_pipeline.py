import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, Item, PredictionSet, Writer, Written
from bpr_cli.formats.reading import Task
from bpr_cli.inference.predictor import Predictor
from bpr_cli.masks.masks import LabelMap, Mask, Prediction
from bpr_cli.refinement import pipeline as module
from bpr_cli.refinement.image import ImagePass
from bpr_cli.refinement.pipeline import refine_predictions
from bpr_cli.refinement.refiner import Refiner
from tests.inference.engines import CARDS, blob, picture

SIZE = (36, 44)


class Kept(Writer):
    """Keeps what is written, and counts the images between reading and writing."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.written: dict[str, Prediction] = {}
        self.closed = 0

    def write(self, item: Item, refined: Prediction) -> Written:
        self.world.act("write", item)
        with self.world.lock:
            self.written[item.name] = refined
            self.world.in_flight -= 1
        return Written()

    def close(self, records) -> None:
        self.closed += 1


class World(PredictionSet):
    """Predictions made on the spot; ``trouble`` says what happens to whom, by (stage, name)."""

    format, task = "made up", Task.INSTANCE

    def __init__(self, folder: Path, predictions: dict[str, Prediction]) -> None:
        self.predictions = predictions
        self.items = [Item(name, folder / f"{name}.png") for name in predictions]
        self.failures: list[Failure] = []
        self.trouble: dict[tuple[str, str], BaseException] = {}
        self.delay = 0.0
        self.lock = threading.Lock()
        self.in_flight = self.most_in_flight = 0
        self.kept = Kept(self)
        for index, item in enumerate(self.items):
            Image.fromarray(picture(SIZE, index)).save(item.image)

    def act(self, stage: str, item: Item) -> None:
        if self.delay:
            time.sleep(self.delay * (1 + sum(map(ord, stage + item.name)) % 5))
        if (stage, item.name) in self.trouble:
            raise self.trouble[stage, item.name]

    def file(self, item: Item) -> Path:
        return item.image

    def read(self, item: Item) -> Prediction:
        with self.lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.act("read", item)
        return self.predictions[item.name]

    def writer(self, out: Path) -> Writer:
        return self.kept


def plain(prediction: Prediction) -> list[np.ndarray]:
    return [prediction.labels] if isinstance(prediction, LabelMap) else [mask.to_array() for mask in prediction]


def mixed(count: int) -> dict[str, Prediction]:
    """Masks, label maps, empty masks and no masks at all, in turn."""
    out: dict[str, Prediction] = {}
    for index in range(count):
        first, second = blob(SIZE, index), blob(SIZE, index + 100)
        out[f"i{index}"] = (
            (Mask.from_array(first), Mask.from_array(second), Mask.from_array(np.zeros(SIZE))),
            LabelMap((first + 2 * (second & ~first)).astype(np.int32), frozenset({0})),
            (Mask.from_array(np.zeros(SIZE)),),
            (Mask.from_array(first),),
            (),
        )[index % 5]
    return out


def outlines(count: int) -> dict[str, Prediction]:
    return {f"i{index}": (Mask.from_array(blob(SIZE, index)),) for index in range(count)}


@pytest.fixture
def run(make_refiner, tmp_path):
    """Refine a world; nothing may be left running afterwards."""
    before = set(threading.enumerate())

    def refine(predictions: dict[str, Prediction], network: str = "unet-s", on_item=lambda _: None, **changed):
        world = World(tmp_path, predictions)
        for name in ("trouble", "failures", "delay", "items"):
            if name in changed:
                setattr(world, name, changed.pop(name))
        refine.world = world
        return refine_predictions(make_refiner(network, **changed), world, world.kept, on_item)

    yield refine
    assert set(threading.enumerate()) <= before


def test_every_item_is_refined_as_alone(run, refiner):
    predictions = mixed(10)
    seen = []
    result = run(predictions, on_item=seen.append, workers=2, batch_size=8)
    world = run.world
    assert (result.written, result.failures) == (10, [])
    assert sorted(item.name for item in seen) == sorted(predictions)
    assert world.kept.closed == 1
    for index, (name, prediction) in enumerate(predictions.items()):
        written = world.kept.written[name]
        assert type(written) is type(prediction)
        if isinstance(prediction, LabelMap):
            expected = [refiner.refine_labels(picture(SIZE, index), prediction.labels, ignore={0})]
        else:
            expected = refiner.refine_masks(picture(SIZE, index), plain(prediction))
        for one, other in zip(plain(written), expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("scales", [(0.5, 1.0), (0.25, 0.5, 1.0)])
def test_passes_follow_each_other_as_for_arrays(run, make_refiner, scales):
    """Also for images whose segments take no part in the first passes, and for those that have none."""
    predictions = mixed(10)
    result = run(predictions, workers=2, batch_size=8, scales=scales, nms_threshold=0.4)
    assert (result.written, result.failures) == (10, [])
    passes, last = make_refiner(scales=scales, nms_threshold=0.4), make_refiner(nms_threshold=0.4)
    moved = 0
    for index, (name, prediction) in enumerate(predictions.items()):
        image, written = picture(SIZE, index), run.world.kept.written[name]
        for one, alone, other in zip(
            plain(written), refined(passes, image, prediction), refined(last, image, prediction), strict=True
        ):
            np.testing.assert_array_equal(one, alone)
            moved += int((one != other).sum())
    assert moved > 0


def refined(refiner: Refiner, image: np.ndarray, prediction: Prediction) -> list[np.ndarray]:
    if isinstance(prediction, LabelMap):
        return [refiner.refine_labels(image, prediction.labels, prediction.void)]
    return refiner.refine_masks(image, plain(prediction))


@pytest.mark.timeout(60)
def test_passes_do_not_hold_more_images_than_their_look_ahead(run):
    result = run(outlines(24), workers=1, batch_size=8, scales=(1.0, 1.0), nms_threshold=0.4)
    assert (result.written, run.world.in_flight) == (24, 0)
    assert run.world.most_in_flight <= 3 * (module.LOOK_AHEAD + 1) + 4


def test_the_summary_adds_up(run):
    result = run(mixed(5))
    assert result.stats.segments == 3 + 2 + 1 + 1
    assert result.stats.patches > 0
    assert result.stats.displacement > 0
    assert set(result.seconds) == {"read", "crop", "network", "paste", "write"}
    assert all(seconds >= 0 for seconds in result.seconds.values())
    assert result.elapsed >= result.seconds["network"] > 0


@pytest.mark.parametrize("network", CARDS)
def test_results_do_not_depend_on_batches_workers_or_order(run, network):
    predictions = mixed(3)
    run(predictions, network, workers=1)
    items, reference = run.world.items, run.world.kept.written
    for order, changed in (
        (items, {"batch_size": 1, "workers": 3}),
        (items[::-1], {"batch_size": 24, "workers": 2}),
    ):
        run(predictions, network, items=order, delay=0.001, **changed)
        assert set(run.world.kept.written) == set(reference)
        for name, expected in reference.items():
            for one, other in zip(plain(run.world.kept.written[name]), plain(expected), strict=True):
                np.testing.assert_array_equal(one, other)


def test_images_without_boundary_are_written_as_they_are(run):
    full, empty = Mask.from_array(np.ones(SIZE)), Mask.from_array(np.zeros(SIZE))
    labels = LabelMap(np.full(SIZE, 3, np.int32), frozenset())
    predictions = {"a": (full, empty), "b": labels, "c": ()}
    result = run(predictions)
    assert (result.written, result.stats.changed, result.stats.patches) == (3, 0, 0)
    for name, prediction in predictions.items():
        for one, other in zip(plain(run.world.kept.written[name]), plain(prediction), strict=True):
            np.testing.assert_array_equal(one, other)


def test_an_empty_set_is_refined_in_no_time(run):
    result = run({})
    assert (result.written, result.failures) == (0, [])


def test_broken_items_are_named_in_the_order_of_the_input_and_the_others_written(run):
    predictions = mixed(12)
    predictions["i7"] = (Mask.from_array(np.ones((3, 3))),)
    trouble = {("read", "i8"): BprError("unreadable"), ("write", "i1"): BprError("disk full")}
    seen = []
    result = run(predictions, trouble=trouble, failures=[Failure("gone", "no image")], on_item=seen.append)
    assert [failure.name for failure in result.failures] == ["gone", "i1", "i7", "i8"]
    assert [failure.reason for failure in result.failures][:2] == ["no image", "disk full"]
    assert "the image is 44 x 36 pixels but the mask 3 x 3" in result.failures[2].reason
    assert result.written == 9
    assert set(run.world.kept.written) == set(predictions) - {"i1", "i7", "i8"}
    assert sorted(item.name for item in seen) == sorted(predictions)


def test_an_image_that_cannot_be_decoded_is_a_broken_item(run, make_refiner, tmp_path):
    world = World(tmp_path, outlines(3))
    world.items[1].image.write_bytes(b"\x89PNG not really")
    result = refine_predictions(make_refiner(), world, world.kept)
    assert [failure.name for failure in result.failures] == ["i1"]
    assert "i1.png" in result.failures[0].reason
    assert set(world.kept.written) == {"i0", "i2"}


def test_nothing_is_closed_when_every_item_failed(run):
    trouble = {("read", name): BprError("unreadable") for name in outlines(3)}
    result = run(outlines(3), trouble=trouble)
    assert (result.written, len(result.failures)) == (0, 3)
    assert run.world.kept.closed == 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("stage", ["read", "write"])
@pytest.mark.parametrize("place", [0, 9])
def test_bugs_come_through_and_leave_no_thread(run, stage, place):
    with pytest.raises(ZeroDivisionError):
        run(outlines(10), trouble={(stage, f"i{place}"): ZeroDivisionError()}, workers=3, batch_size=8)


@pytest.mark.timeout(60)
def test_errors_of_the_network_come_through_and_leave_no_thread(run, monkeypatch):
    def explode(self, patches):
        raise BprError("cpu does not have enough memory for one patch")

    monkeypatch.setattr(Predictor, "predict", explode)
    with pytest.raises(BprError, match="enough memory for one patch"):
        run(outlines(20), workers=3)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("at", [1, 12])
def test_an_interrupt_leaves_no_thread_and_closes_nothing(run, at):
    seen = []

    def interrupt(item: Item) -> None:
        seen.append(item)
        if len(seen) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(outlines(12), on_item=interrupt, workers=3, batch_size=8)
    assert run.world.kept.closed == 0
    assert len(seen) == at


@pytest.mark.parametrize(("workers", "slow"), [(1, "network"), (2, "network"), (2, "threads")])
def test_memory_does_not_grow_with_the_number_of_images(run, monkeypatch, workers, slow):
    """At most the look-ahead before and behind the network, and the images that share a batch."""
    slow_down(monkeypatch, 0.005 if slow == "network" else 0)
    result = run(outlines(24), workers=workers, batch_size=8, delay=0.002 if slow == "threads" else 0)
    assert (result.written, run.world.in_flight) == (24, 0)
    assert run.world.most_in_flight <= 2 * (module.LOOK_AHEAD * workers + 1) + 2


def test_images_that_bring_few_patches_back_share_batches_with_new_ones(run, monkeypatch):
    """In batches of their own, 32 of them would wait in memory at every step."""

    def one_more(image: ImagePass) -> ImagePass:
        (outline,) = image.outlines
        return replace(image, outlines=(outline.with_boxes(outline.boxes[:1], outline.mask),))

    monkeypatch.setattr(module, "steps_after_first", lambda *_: [one_more, one_more])
    result = run(outlines(96), workers=1, batch_size=32)
    assert (result.written, run.world.in_flight) == (96, 0)
    assert run.world.most_in_flight <= 40


def test_an_image_whose_step_fails_is_a_broken_item(run, monkeypatch):
    broken = picture(SIZE, 2)

    def fail_once(image: ImagePass) -> ImagePass:
        if (image.image == broken).all():
            raise BprError("cannot go on")
        return image

    monkeypatch.setattr(module, "steps_after_first", lambda *_: [fail_once, fail_once])
    result = run(outlines(6), workers=2, batch_size=8)
    assert [(failure.name, failure.reason) for failure in result.failures] == [("i2", "cannot go on")]
    assert set(run.world.kept.written) == set(outlines(6)) - {"i2"}


@pytest.mark.parametrize("scales", [(1.0,), (2.0, 1.0)])
def test_two_large_images_are_in_memory_in_each_pass(run, monkeypatch, scales):
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 1)
    result = run(outlines(8), workers=4, batch_size=8, scales=scales, nms_threshold=0.9)
    assert (result.written, run.world.in_flight) == (8, 0)
    # In each pass one, and the next, which the last batch may hold patches of.
    assert run.world.most_in_flight <= 2 * len(scales)


def test_progress_is_reported_while_the_network_is_busy(run, monkeypatch):
    """Not only when the queue of images being written is full."""
    reported: list[Item] = []
    reported_before: list[int] = []
    slow_down(monkeypatch, 0.02, lambda: reported_before.append(len(reported)))
    run(outlines(6), on_item=reported.append, workers=4, batch_size=8)
    assert reported_before[-1] > 0


def slow_down(monkeypatch, seconds: float, before=lambda: None) -> None:
    predict = Predictor.predict

    def slowly(self, patches):
        before()
        time.sleep(seconds)
        return predict(self, patches)

    monkeypatch.setattr(Predictor, "predict", slowly)


def test_seconds_add_up_over_threads_and_errors():
    watch = module.Stopwatch(("read", "crop"))

    def busy() -> None:
        with watch("read"):
            time.sleep(0.02)

    threads = [threading.Thread(target=busy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.seconds["read"] >= 0.08
    assert watch.seconds["crop"] == 0
    with pytest.raises(ZeroDivisionError), watch("crop"):
        _ = 1 / int(time.sleep(0.001) or 0)
    assert watch.seconds["crop"] > 0
