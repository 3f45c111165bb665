"""The streaming pipeline: threads read and crop ahead of the network, and paste and write behind it.

Only a few images are in memory at any time, and only two at each place where they wait if they are large. What the
network makes of a patch does not depend on the others in its batch, so results do not depend on the number of threads.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, Item, PredictionSet, Writer
from bpr_cli.formats.images import pixels_of, read_image
from bpr_cli.formats.reading import Task
from bpr_cli.masks.masks import size_of
from bpr_cli.patches.crop import Patches
from bpr_cli.refinement.image import ImagePass, PatchBatch, RefinementStats, Step, fill_batches, steps_after_first
from bpr_cli.refinement.result import FAULTS, STAGES, OnItem, RefineResult, inputs_of, read_usable
from bpr_cli.system.atomic import concerns_all_files
from bpr_cli.system.journal import Journal
from bpr_cli.system.threads import PIXELS_AT_ONCE, one_ahead

if TYPE_CHECKING:
    from bpr_cli.inference.predictor import Predictor
    from bpr_cli.refinement.refiner import Refiner

LOOK_AHEAD = 2
"""Images per thread that may be ahead of the network: enough to even out their sizes, few enough to save memory."""


@dataclass(frozen=True)
class Turn:
    """An item whose image goes through the network, and the steps that follow.

    Attributes:
        item: the item.
        steps: what follows the patches of this turn, in order.
    """

    item: Item
    steps: tuple[Step, ...]


InFlight = tuple[Turn, ImagePass]
Submitted = tuple[Turn, "Future[ImagePass]"]


class ItemLog(Protocol):
    """Takes down finished items: a journal, or in a worker process what tells the driver."""

    def add(
        self,
        name: str,
        inputs: Iterable[Path],
        result: Mapping[str, Any],
        files: Mapping[Path, str] | None = None,
        records: Mapping[int, bytes] | None = None,
    ) -> None:
        """See ``Journal.add``."""

    def fail(self, name: str, inputs: Iterable[Path], reason: str) -> None:
        """See ``Journal.fail``."""


@dataclass(frozen=True)
class Work:
    """What items are read from and written to, and what becomes of them.

    Attributes:
        predictions: the opened set.
        writer: writes the refined predictions; a pipeline does not close it.
        journal: the entered journal of the refinement, or what stands for it.
        result: receives what is written, what fails and how long it takes.
        on_item: called in the calling thread after every item, whether written or failed.
    """

    predictions: PredictionSet
    writer: Writer
    journal: ItemLog
    result: RefineResult
    on_item: OnItem = lambda _: None

    def fail(self, item: Item, reason: str) -> None:
        """Note why an item cannot be refined."""
        self.result.failures.append(Failure(item.name, reason))
        with suppress(BprError):  # an input file is gone; then the item is tried again in any case
            self.journal.fail(item.name, inputs_of(self.predictions, item), reason)
        self.on_item(item)


def refine_predictions(
    refiner: Refiner, predictions: PredictionSet, writer: Writer, on_item: OnItem = lambda _: None
) -> RefineResult:
    """Refine every item of a prediction set and write it; the result lists the items that fail.

    Args:
        refiner: network and settings.
        predictions: the opened set.
        writer: writes the refined predictions. It is closed at the end, unless every item failed; then nothing is
            written.
        on_item: called in the calling thread after every item, whether written or failed.

    Raises:
        BprError: the disk is full, or the memory is too small for the network.
    """
    result = RefineResult()
    with Journal.temporary() as journal, result.timed():
        Pipeline(refiner, Work(predictions, writer, journal, result, on_item)).run(predictions.items)
        result.settle(predictions, predictions.items)
        result.close(writer, journal)
    return result


class Pipeline:
    """One run over items of a prediction set.

    Args:
        refiner: network and settings.
        work: what the items are read from and written to.
    """

    def __init__(self, refiner: Refiner, work: Work) -> None:
        self.refiner, self.work = refiner, work
        self.predictions, self.writer, self.journal = work.predictions, work.writer, work.journal
        self.result, self.on_item = work.result, work.on_item
        self.stopwatch = Stopwatch(STAGES)
        self._passes = refiner.passes_over(labels=self.predictions.task is not Task.INSTANCE)
        self._look_ahead = LOOK_AHEAD * refiner.settings.workers
        self._known_pixels: dict[Item, int] = {}
        self._writing: deque[tuple[Item, Future[RefinementStats]]] = deque()

    def run(self, items: Sequence[Item]) -> None:
        """Process items; stops early only on an interrupt, a bug, or an error that concerns all files."""
        pool = ThreadPoolExecutor(self.refiner.settings.workers, thread_name_prefix="bpr")
        steps = tuple(steps_after_first(self._passes, self.refiner.limits))
        try:
            images = self._in_order(pool, ((Turn(item, steps), partial(self._begin, item)) for item in items))
            first = self.refiner.predictor_of(self._passes[0])
            if first is not self.refiner.predictor:  # a pass over whole masks, by a network of its own
                images = self._in_order(pool, starmap(self._next, self._predicted(images, first)))
            for turn, image in self._predicted_in_turns(pool, images):
                self._writing.append((turn.item, pool.submit(self._write, turn.item, image)))
                self._collect(until=self._look_ahead)
            self._collect(until=0)
        finally:
            pool.shutdown(cancel_futures=True)
        self.result.seconds = self.stopwatch.seconds

    def _begin(self, item: Item) -> ImagePass:
        """Read an image and its prediction, and place the patches of the first pass."""
        with self.stopwatch("read"):
            prediction = read_usable(self.predictions, item)
            image = read_image(item.image, self.predictions.max_pixels, masks=size_of(prediction), page=item.page)
        with self.stopwatch("crop"):
            try:
                return ImagePass.begin(image, prediction, self._passes[0])
            except BprError as error:
                raise misfit(item, error) from error

    def _in_order(
        self, pool: ThreadPoolExecutor, given: Iterator[tuple[Turn, Callable[[], ImagePass]]]
    ) -> Iterator[InFlight]:
        """Images with placed patches, in order; the look-ahead limits how many are in memory.

        Args:
            pool: the threads.
            given: the turns, each with what reads or refines its image and places patches.
        """
        ahead: deque[Submitted] = deque()
        for turn, place in given:
            yield from self._placed(ahead, self._look_ahead, turn.item)
            ahead.append((turn, pool.submit(place)))
        yield from self._placed(ahead, 0)

    def _placed(self, waiting: deque[Submitted], most: int, *coming: Item) -> Iterator[InFlight]:
        """The images that have waited longest, while more than ``most`` wait, or they are too large with ``coming``."""
        while len(waiting) > most or (waiting and self._pixels(*coming, *_items(waiting)) > PIXELS_AT_ONCE):
            turn, future = waiting.popleft()
            try:
                image = future.result()
            except BprError as error:
                self.work.fail(turn.item, str(error))
            else:
                yield turn, image

    def _predicted_in_turns(self, pool: ThreadPoolExecutor, images: Iterator[InFlight]) -> Iterator[InFlight]:
        """Send the patches of images through the network, and again after every step that is left to them.

        Images that come back share the batches of new ones. They bring few patches: if batches held nothing else, many
        images would wait in memory until a batch is full.
        """
        back: deque[Submitted] = deque()
        while True:
            for turn, image in self._predicted(self._mixed(images, back), self.refiner.predictor):
                if turn.steps:
                    following, place = self._next(turn, image)
                    back.append((following, pool.submit(place)))
                else:
                    yield turn, image
            if not back:  # images of the last batches come back when nothing is left to send
                return

    def _mixed(self, new: Iterator[InFlight], back: deque[Submitted]) -> Iterator[InFlight]:
        """New images, and between them those that came back, as soon as more than one a thread of these wait."""
        for turn, image in new:
            yield turn, image
            yield from self._placed(back, self.refiner.settings.workers)
        yield from self._placed(back, 0)

    def _predicted(self, images: Iterator[InFlight], predictor: Predictor) -> Iterator[InFlight]:
        """Send the patches of images through a network."""
        crop = partial(self._crop, predictor.input_size)
        for batch, patches in one_ahead(crop, fill_batches(images, predictor.batch_size, PIXELS_AT_ONCE)):
            if len(batch):
                with self.stopwatch("network"):
                    batch.hand_out(predictor.predict(patches))
            yield from batch.completed

    def _crop(self, input_size: int, batch: PatchBatch[Turn]) -> tuple[PatchBatch[Turn], Patches]:
        with self.stopwatch("crop"):
            return batch, batch.crop(input_size)

    def _next(self, turn: Turn, image: ImagePass) -> tuple[Turn, Callable[[], ImagePass]]:
        """The next turn of an image, and what pastes its patches so far and places those of the next step."""
        step, *left = turn.steps
        return Turn(turn.item, tuple(left)), partial(self._take, step, image)

    def _take(self, step: Step, image: ImagePass) -> ImagePass:
        with self.stopwatch("paste"):
            return step(image)

    def _write(self, item: Item, image: ImagePass) -> RefinementStats:
        """Paste the patches of the last pass and write the refined prediction."""
        with self.stopwatch("paste"):
            refined = image.refine(self.refiner.limits)
            stats = image.stats(refined)
        with self.stopwatch("write"):
            written = self.writer.write(item, refined.prediction)
            faults = [asdict(fault) for fault in self.predictions.faults(item)]
            done = {**vars(stats), FAULTS: faults}
            self.journal.add(item.name, inputs_of(self.predictions, item), done, written.files, written.records)
        return stats

    def _collect(self, until: int) -> None:
        """Collect written images, waiting for the oldest ones until at most ``until`` are still being written."""
        while self._writing and (
            len(self._writing) > until
            or self._writing[0][1].done()
            or self._pixels(*(item for item, _ in self._writing)) > PIXELS_AT_ONCE
        ):
            item, future = self._writing.popleft()
            try:
                self.result.items[item.name] = future.result()
            except BprError as error:
                if concerns_all_files(error):
                    raise
                self.work.fail(item, str(error))
            else:
                self.on_item(item)

    def _pixels(self, *items: Item) -> int:
        """Pixels of the images together."""
        for item in items:
            if item not in self._known_pixels:
                self._known_pixels[item] = pixels_of(item.image, self.predictions.max_pixels)
        return sum(self._known_pixels[item] for item in items)


class Stopwatch:
    """Adds up the seconds that threads spend in named stages.

    Attributes:
        seconds: busy seconds of each stage, summed over threads.
    """

    def __init__(self, stages: Sequence[str]) -> None:
        self.seconds = dict.fromkeys(stages, 0.0)
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the body of a ``with`` statement."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            with self._lock:
                self.seconds[stage] += spent


def _items(submitted: Iterable[Submitted]) -> Iterator[Item]:
    return (turn.item for turn, _ in submitted)


def misfit(item: Item, error: BprError) -> BprError:
    """The error for an intact prediction that does not fit its image."""
    return BprError(f"the prediction {item.name} does not fit {item.image}: {error}")
