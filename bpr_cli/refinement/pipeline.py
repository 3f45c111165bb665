"""The streaming pipeline: threads read and cut images ahead of the network, and paste and write behind it.

Only a few images are in memory at any time. Images pass the network in the order of the input, so batches, and with
them results, do not depend on the number of threads.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, Item, PredictionSet, Writer
from bpr_cli.formats.images import read_image
from bpr_cli.patches.crop import Patches
from bpr_cli.refinement.batches import Batch, Job, fill_batches
from bpr_cli.refinement.image import CutImage, PastedImage, RefinementStats
from bpr_cli.refinement.refiner import Refiner
from bpr_cli.refinement.stopwatch import Stopwatch
from bpr_cli.system.atomic import concerns_all_files
from bpr_cli.system.journal import Journal
from bpr_cli.system.threads import one_ahead

LOOK_AHEAD = 2
"""Images a thread may be ahead of the network: enough to hide uneven images, few enough to stay small."""

OnItem = Callable[[Item], None]

Submitted = tuple[Item, "Future[CutImage]"]
"""An item whose patches are being cut."""


@dataclass
class RefineResult:
    """What a refinement did.

    Attributes:
        items: what was done to each image written, by name, in the order of the input.
        resumed: names of those among them that an earlier start had written.
        failures: items that could not be refined, in the order of the input.
        seconds: busy seconds by stage (``read``, ``cut``, ``network``, ``paste``, ``write``), summed over threads.
        elapsed: seconds from start to end.
    """

    items: dict[str, RefinementStats] = field(default_factory=dict)
    resumed: set[str] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    elapsed: float = 0.0

    @property
    def written(self) -> int:
        """Number of images written."""
        return len(self.items)

    @property
    def movement(self) -> RefinementStats:
        """Segments, patches and how far boundaries moved, over all images written."""
        return sum(self.items.values(), RefinementStats())


def refine_predictions(
    refiner: Refiner,
    predictions: PredictionSet,
    writer: Writer,
    on_item: OnItem = lambda _: None,
    journal: Journal | None = None,
) -> RefineResult:
    """Refine every item of a prediction set and write it.

    Items that fail are named in the result and the others are written.

    Args:
        refiner: network and settings.
        predictions: the opened set.
        writer: takes the refined predictions; closed at the end, unless every item failed: then nothing is written.
        on_item: called in the calling thread after every item, written, failed or done before.
        journal: of this refinement, entered; by default a temporary one.

    Raises:
        BprError: the disk is full, or the network has not enough memory.
    """
    if journal is None:
        with Journal.temporary() as scratch:
            return refine_predictions(refiner, predictions, writer, on_item, scratch)
    began = time.perf_counter()
    pipeline = Pipeline(refiner, predictions, writer, on_item, journal)
    result = pipeline.run()
    result.failures[:0] = predictions.failures
    if result.written or not result.failures:
        writer.close(journal.records())
    result.seconds = pipeline.stopwatch.seconds
    result.elapsed = time.perf_counter() - began
    return result


class Pipeline:
    """One pass over a prediction set; see ``refine_predictions``."""

    def __init__(
        self, refiner: Refiner, predictions: PredictionSet, writer: Writer, on_item: OnItem, journal: Journal
    ) -> None:
        self.refiner = refiner
        self.predictions = predictions
        self.writer = writer
        self.on_item = on_item
        self.journal = journal
        self.stopwatch = Stopwatch(("read", "cut", "network", "paste", "write"))
        self.result = RefineResult()
        self._look_ahead = LOOK_AHEAD * refiner.settings.workers
        self._writing: deque[tuple[Item, Future[RefinementStats]]] = deque()

    def run(self) -> RefineResult:
        """Push all items through; stops early only on a bug or an interrupt."""
        pool = ThreadPoolExecutor(self.refiner.settings.workers, thread_name_prefix="bpr")
        try:
            jobs = self._jobs((item, pool.submit(self._cut, item)) for item in self._to_do())
            for number in range(1, len(self.refiner.rounds)):
                jobs = self._jobs(self._cut_again(pool, jobs, number))
            for job in self._decided(jobs):
                self._submit_writing(pool, job)
            self._collect(until=0)
        finally:
            pool.shutdown(cancel_futures=True)
        place = {item.name: index for index, item in enumerate(self.predictions.items)}
        self.result.failures.sort(key=lambda failure: place[failure.name])
        self.result.items = dict(sorted(self.result.items.items(), key=lambda pair: place[pair[0]]))
        return self.result

    def _to_do(self) -> Iterator[Item]:
        """The items that are not done already."""
        for item in self.predictions.items:
            found = self.journal.done(item.name, self._inputs(item))
            if found is None:
                yield item
                continue
            self.result.items[item.name] = RefinementStats(**found)
            self.result.resumed.add(item.name)
            self.on_item(item)

    def _decided(self, jobs: Iterator[Job]) -> Iterator[Job]:
        """Send jobs through the network."""
        for each in one_ahead(self._cut_out, fill_batches(jobs, self.refiner.batch_size)):
            if isinstance(each, Job):
                yield each
                continue
            batch, patches = each
            with self.stopwatch("network"):
                probabilities = self.refiner.decide(patches)
            yield from batch.hand_back(probabilities)

    def _cut_out(self, each: Batch | Job) -> tuple[Batch, Patches] | Job:
        """The patches of a batch; a job without patches goes on as it is."""
        if isinstance(each, Job):
            return each
        with self.stopwatch("cut"):
            return each, each.cut()

    def _jobs(self, submitted: Iterator[Submitted]) -> Iterator[Job]:
        """Jobs of one round in their order.

        ``submitted`` is asked for more only as far ahead as there may be images in memory.
        """
        ahead: deque[Submitted] = deque()
        for each in submitted:
            ahead.append(each)
            if len(ahead) > self._look_ahead:
                yield from self._next_job(ahead)
        while ahead:
            yield from self._next_job(ahead)

    def _next_job(self, ahead: deque[Submitted]) -> Iterator[Job]:
        item, future = ahead.popleft()
        try:
            job = Job(item, future.result())
        except BprError as error:
            self._fail(item, error)
        else:
            yield job

    def _cut(self, item: Item) -> CutImage:
        with self.stopwatch("read"):
            prediction = self.predictions.read(item)
            image = read_image(item.image)
        with self.stopwatch("cut"):
            try:
                return self.refiner.cut(image, prediction)
            except BprError as error:
                raise misfit(item, error) from error

    def _cut_again(self, pool: ThreadPoolExecutor, jobs: Iterator[Job], number: int) -> Iterator[Submitted]:
        """Let the network finish a round and hand its results to the next one, in threads."""
        for job in self._decided(jobs):
            yield job.item, pool.submit(self._paste_and_cut, job, number)

    def _paste_and_cut(self, job: Job, number: int) -> CutImage:
        refined = self._paste(job).prediction
        with self.stopwatch("cut"):
            return self.refiner.cut_again(job.cut_image, refined, number)

    def _submit_writing(self, pool: ThreadPoolExecutor, job: Job) -> None:
        self._writing.append((job.item, pool.submit(self._paste_and_write, job)))
        self._collect(until=self._look_ahead)

    def _paste(self, job: Job) -> PastedImage:
        with self.stopwatch("paste"):
            size = self.refiner.weights.card.patch_size
            decided = np.concatenate([np.zeros((0, size, size), np.uint8), *job.parts])
            return self.refiner.paste(job.cut_image, decided)

    def _paste_and_write(self, job: Job) -> RefinementStats:
        pasted = self._paste(job)
        with self.stopwatch("paste"):
            movement = pasted.movement
        with self.stopwatch("write"):
            written = self.writer.write(job.item, pasted.prediction)
            self.journal.add(job.item.name, self._inputs(job.item), asdict(movement), written.files, written.records)
        return movement

    def _inputs(self, item: Item) -> list[Path]:
        return [*self.predictions.files(item), item.image]

    def _collect(self, until: int) -> None:
        """Take note of images written, and wait for the oldest until at most so many are being written."""
        while len(self._writing) > until or (self._writing and self._writing[0][1].done()):
            item, future = self._writing.popleft()
            try:
                self.result.items[item.name] = future.result()
            except BprError as error:
                if concerns_all_files(error):
                    raise
                self._fail(item, error)
            else:
                self.on_item(item)

    def _fail(self, item: Item, error: BprError) -> None:
        self.result.failures.append(Failure(item.name, str(error)))
        self.on_item(item)


def misfit(item: Item, error: BprError) -> BprError:
    """What is wrong with an item whose prediction and image are whole but do not belong together."""
    return BprError(f"the prediction {item.name} does not fit {item.image}: {error}")
