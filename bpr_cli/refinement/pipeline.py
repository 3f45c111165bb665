"""The streaming pipeline: threads read and crop ahead of the network, and paste and write behind it.

Only a few images are in memory at any time, and only two in each pass if they are large. Images pass the network in the
order of the input, so results do not depend on the number of threads.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, Item, PredictionSet, Writer
from bpr_cli.formats.images import pixels_of, read_image
from bpr_cli.masks.masks import Prediction, size_of
from bpr_cli.patches.crop import Patches
from bpr_cli.refinement.image import ImagePass, PatchBatch, RefinedImage, RefinementStats, fill_batches
from bpr_cli.refinement.settings import PassSettings
from bpr_cli.system.atomic import concerns_all_files
from bpr_cli.system.journal import Journal
from bpr_cli.system.threads import PIXELS_AT_ONCE, one_ahead

if TYPE_CHECKING:
    from bpr_cli.refinement.refiner import Refiner

LOOK_AHEAD = 2
"""Images per thread that may be ahead of the network: enough to even out their sizes, few enough to save memory."""

STAGES = ("read", "crop", "network", "paste", "write")

_FAULTS = "faults"
"""Name of the records that could not be read, in the journal of an item."""

Given = TypeVar("Given")
OnItem = Callable[[Item], None]
InFlight = tuple[Item, ImagePass]
Submitted = tuple[Item, "Future[ImagePass]"]


@dataclass
class RefineResult:
    """The outcome of a refinement.

    Attributes:
        items: statistics of every written image by name, in the order of the input.
        resumed: names of the written images that an earlier process wrote.
        failures: items that could not be refined, in the order of the input; then records of the others that could
            not be read and were left as they were.
        notes: how the predictions were read, where that decides the result.
        pictures: before/after pictures, if any were asked for.
        seconds: busy seconds by stage, summed over threads.
        elapsed: seconds from start to end.
    """

    items: dict[str, RefinementStats] = field(default_factory=dict)
    resumed: set[str] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    elapsed: float = 0.0

    @property
    def written(self) -> int:
        """Number of images written."""
        return len(self.items)

    @property
    def stats(self) -> RefinementStats:
        """Statistics over all written images."""
        return sum(self.items.values(), RefinementStats())


def refine_predictions(
    refiner: Refiner,
    predictions: PredictionSet,
    writer: Writer,
    on_item: OnItem = lambda _: None,
    journal: Journal | None = None,
    on_resumed: OnItem | None = None,
) -> RefineResult:
    """Refine every item of a prediction set and write it; the result lists the items that fail.

    Args:
        refiner: network and settings.
        predictions: the opened set.
        writer: writes the refined predictions. It is closed at the end, unless every item failed; then nothing is
            written.
        on_item: called in the calling thread after every item, whether written, failed or resumed.
        on_resumed: called instead for resumed items, if given.
        journal: the entered journal of this refinement; by default a temporary one.

    Raises:
        BprError: the disk is full, or the memory is too small for the network.
    """
    if journal is None:
        with Journal.temporary() as temporary:
            return refine_predictions(refiner, predictions, writer, on_item, temporary, on_resumed)
    began = time.perf_counter()
    pipeline = Pipeline(refiner, predictions, writer, on_item, journal, on_resumed or on_item)
    result = pipeline.run()
    result.failures[:0] = predictions.failures
    result.failures = with_faults(result.failures, pipeline.faults())
    result.notes = predictions.notes("refined")
    if result.written or not result.failures:
        writer.close(journal.records())
    result.seconds = pipeline.stopwatch.seconds
    result.elapsed = time.perf_counter() - began
    return result


class Pipeline:
    """One run over a prediction set; see ``refine_predictions``."""

    def __init__(
        self,
        refiner: Refiner,
        predictions: PredictionSet,
        writer: Writer,
        on_item: OnItem,
        journal: Journal,
        on_resumed: OnItem,
    ) -> None:
        self.refiner = refiner
        self.predictions = predictions
        self.writer = writer
        self.on_item, self.on_resumed = on_item, on_resumed
        self.journal = journal
        self.stopwatch = Stopwatch(STAGES)
        self.result = RefineResult()
        self._look_ahead = LOOK_AHEAD * refiner.settings.workers
        self._known_pixels: dict[Item, int] = {}
        self._writing: deque[tuple[Item, Future[RefinementStats]]] = deque()
        self._earlier: list[Failure] = []

    def faults(self) -> list[Failure]:
        """The records that this process or an earlier one could not read."""
        return list(dict.fromkeys([*self._earlier, *self.predictions.faults()]))

    def run(self) -> RefineResult:
        """Process all items; stops early only on an interrupt, a bug, or an error that concerns all files."""
        pool = ThreadPoolExecutor(self.refiner.settings.workers, thread_name_prefix="bpr")
        try:
            images = self._in_order(pool, ((item, item) for item in self._to_do()), self._begin)
            for how in self.refiner.passes[1:]:
                images = self._in_order(pool, self._predicted(images), partial(self._place_again, how))
            for item, image in self._predicted(images):
                self._writing.append((item, pool.submit(self._write, item, image)))
                self._collect(until=self._look_ahead)
            self._collect(until=0)
        finally:
            pool.shutdown(cancel_futures=True)
        place = {item.name: index for index, item in enumerate(self.predictions.items)}
        self.result.failures.sort(key=lambda failure: place[failure.name])
        self.result.items = dict(sorted(self.result.items.items(), key=lambda pair: place[pair[0]]))
        return self.result

    def _to_do(self) -> Iterator[Item]:
        """The items that no earlier process has finished."""
        for item in self.predictions.items:
            stats = self.journal.done(item.name, self._inputs(item))
            if stats is None:
                yield item
                continue
            self._earlier += [Failure(**fault) for fault in stats.pop(_FAULTS)]
            self.result.items[item.name] = RefinementStats(**stats)
            self.result.resumed.add(item.name)
            self.on_resumed(item)

    def _inputs(self, item: Item) -> list[Path]:
        return [*self.predictions.files(item), item.image]

    def _begin(self, item: Item) -> ImagePass:
        """Read an image and its prediction, and place the patches of the first pass."""
        with self.stopwatch("read"):
            prediction = read_usable(self.predictions, item)
            image = read_image(item.image, self.predictions.max_pixels, masks=size_of(prediction))
        with self.stopwatch("crop"):
            try:
                return ImagePass.begin(image, prediction, self.refiner.passes[0])
            except BprError as error:
                raise misfit(item, error) from error

    def _in_order(
        self, pool: ThreadPoolExecutor, given: Iterator[tuple[Item, Given]], place: Callable[[Given], ImagePass]
    ) -> Iterator[InFlight]:
        """Images with placed patches, in order; the look-ahead limits how many are in memory.

        Args:
            pool: the threads.
            given: the items, each with what ``place`` takes.
            place: reads or refines an image, and places its patches.
        """
        ahead: deque[Submitted] = deque()
        for item, each in given:
            while ahead and self._pixels(item, *(waiting for waiting, _ in ahead)) > PIXELS_AT_ONCE:
                yield from self._placed(*ahead.popleft())
            ahead.append((item, pool.submit(place, each)))
            if len(ahead) > self._look_ahead:
                yield from self._placed(*ahead.popleft())
        while ahead:
            yield from self._placed(*ahead.popleft())

    def _placed(self, item: Item, future: Future[ImagePass]) -> Iterator[InFlight]:
        try:
            image = future.result()
        except BprError as error:
            self._fail(item, error)
        else:
            yield item, image

    def _predicted(self, images: Iterator[InFlight]) -> Iterator[InFlight]:
        """Send the patches of images through the network."""
        predictor = self.refiner.predictor
        for batch, patches in one_ahead(self._crop, fill_batches(images, predictor.batch_size)):
            if len(batch):
                with self.stopwatch("network"):
                    batch.hand_out(predictor.predict(patches))
            yield from batch.completed

    def _crop(self, batch: PatchBatch[Item]) -> tuple[PatchBatch[Item], Patches]:
        with self.stopwatch("crop"):
            return batch, batch.crop(self.refiner.weights.card.input_size)

    def _place_again(self, how: PassSettings, image: ImagePass) -> ImagePass:
        """Refine the image by its last pass, and place the patches of the next pass."""
        refined = self._refine(image)
        with self.stopwatch("crop"):
            return image.next(refined.prediction, how)

    def _refine(self, image: ImagePass) -> RefinedImage[Any]:
        with self.stopwatch("paste"):
            return image.refine(self.refiner.limits)

    def _write(self, item: Item, image: ImagePass) -> RefinementStats:
        """Paste the patches of the last pass and write the refined prediction."""
        refined = self._refine(image)
        with self.stopwatch("paste"):
            stats = image.stats(refined)
        with self.stopwatch("write"):
            written = self.writer.write(item, refined.prediction)
            faults = [asdict(fault) for fault in self.predictions.faults(item)]
            done = {**asdict(stats), _FAULTS: faults}
            self.journal.add(item.name, self._inputs(item), done, written.files, written.records)
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
                self._fail(item, error)
            else:
                self.on_item(item)

    def _pixels(self, *items: Item) -> int:
        """Pixels of the images together."""
        for item in items:
            if item not in self._known_pixels:
                self._known_pixels[item] = pixels_of(item.image, self.predictions.max_pixels)
        return sum(self._known_pixels[item] for item in items)

    def _fail(self, item: Item, error: BprError) -> None:
        self.result.failures.append(Failure(item.name, str(error)))
        self.on_item(item)


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


def read_usable(predictions: PredictionSet, item: Item) -> Prediction:
    """Read the predictions of an item.

    Raises:
        BprError: the file is broken, or none of its masks can be read.
    """
    prediction = predictions.read(item)
    faults = predictions.faults(item)
    if faults and prediction == ():
        raise BprError(faults[0].reason)
    return prediction


def with_faults(failures: list[Failure], faults: list[Failure]) -> list[Failure]:
    """The failures, and the records that cannot be read; an item that failed for its records is listed once."""
    known = {failure.reason for failure in failures}
    return [*failures, *(fault for fault in faults if fault.reason not in known)]


def misfit(item: Item, error: BprError) -> BprError:
    """The error for an intact prediction that does not fit its image."""
    return BprError(f"the prediction {item.name} does not fit {item.image}: {error}")
