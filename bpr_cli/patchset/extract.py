"""The extraction of a patch set: images in threads, results in order, and resumable after a kill at any moment.

Results are kept in parts (``parts.py``) until all images are done; then the parts become the set. Nothing in the set
depends on the number of threads, or on how often the extraction was interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure
from bpr_cli.formats.json_files import Json
from bpr_cli.formats.settings import Format, Task
from bpr_cli.patchset.image import ImageResult, ReservoirSample, extract_image
from bpr_cli.patchset.layout import DOCUMENT, PatchSource, SourceCounts, move_set, remove_set
from bpr_cli.patchset.parts import Parts
from bpr_cli.patchset.resume import difference, told
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.sources import SourcePaths, open_sources, with_simulated
from bpr_cli.patchset.store import PatchSet, PatchSetWriter
from bpr_cli.system.lock import sole_writer
from bpr_cli.system.paths import fingerprint
from bpr_cli.system.threads import default_workers, in_order

PART_IMAGES = 16
"""Images of a part: so many are lost at most by a kill, beside those in flight."""

PART_BYTES = 64 * 2**20
"""A part that has this size is full, so that memory does not grow with the images."""


@dataclass(frozen=True)
class ExtractSettings:
    """How to extract, beside what the set remembers.

    Attributes:
        workers: images worked on at a time.
        overwrite: remove a set, or an unfinished one, that is there already.
    """

    workers: int = field(default_factory=default_workers)
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            BprError: a value is out of range.
        """
        if self.workers < 1:
            raise BprError(f"workers is {self.workers}; expected 1 or more")


@dataclass(frozen=True)
class ExtractResult:
    """What an extraction did.

    Attributes:
        patch_set: the finished set.
        failures: images that could not be used, and why.
        resumed: images that an earlier start had done already.
        elapsed: seconds from start to end.
    """

    patch_set: PatchSet
    failures: list[Failure]
    resumed: int
    elapsed: float


class Extraction:
    """Opened inputs, ready to be extracted.

    Args:
        given: the sources. With ``settings.simulate``, coarse masks are simulated from all their ground truth too.
        settings: of the set.
        form: format of the predictions, or None to recognise it.
        task: the task that they must have, or None.

    Attributes:
        images: number of images to work on; one with several predictions counts for each.

    Raises:
        BprError: the inputs cannot be used.
    """

    def __init__(
        self,
        given: Sequence[SourcePaths],
        settings: PatchSetSettings,
        form: Format | None = None,
        task: Task | None = None,
    ) -> None:
        self._settings = settings
        self._sources = open_sources(with_simulated(given) if settings.simulate else given, settings, form, task)
        self._queue = [(source, image) for source in self._sources for image in source.images]
        self.images = len(self._queue)

    def run(
        self,
        out: Path,
        how: ExtractSettings = ExtractSettings(),
        on_image: Callable[[], None] = lambda: None,
    ) -> ExtractResult:
        """Extract the set, or finish it.

        Args:
            out: its directory. A set that is there already is verified, if it is the one asked for.
            how: see ``ExtractSettings``.
            on_image: called in the calling thread after every image.

        Raises:
            BprError: the directory holds another set, or another extraction is in it, or nothing could be extracted;
                no set is written then.
        """
        in_use = f"{out} is in use by another extraction; wait for it, stop it, or give another --out"
        with sole_writer(out, in_use):
            return self._run(out, how, on_image)

    def _run(self, out: Path, how: ExtractSettings, on_image: Callable[[], None]) -> ExtractResult:
        began = time.monotonic()
        parts = Parts(out)
        if how.overwrite:
            remove_set(out)
            parts.remove()
        if (out / DOCUMENT).exists():
            patch_set = self._verified(out)
            parts.remove()
            return ExtractResult(patch_set, self._unusable, self.images, time.monotonic() - began)
        draw, resumed = self._begin(parts, out)
        for _ in range(resumed):
            on_image()
        self._extract(parts, draw, resumed, how.workers, on_image)
        patch_set, failures = self._finish(parts, draw, out)
        parts.remove()
        return ExtractResult(patch_set, failures, resumed, time.monotonic() - began)

    def _verified(self, out: Path) -> PatchSet:
        """The set that is there already."""
        patch_set = PatchSet(out)
        found, wanted = told(patch_set.settings, patch_set.sources), self._told
        if found != wanted:
            raise BprError(
                f"{out} holds a patch set already, {difference(found, wanted)}; give another --out, or --overwrite"
            )
        patch_set.verify()
        return patch_set

    def _described(self, counts: Sequence[SourceCounts]) -> list[PatchSource]:
        """What the set says of its sources."""
        return [
            PatchSource(
                source.paths.name,
                source.sets.predictions.format,
                str(source.paths.images),
                str(source.paths.truth),
                seen + SourceCounts(failed=len(source.failures)),
            )
            for source, seen in zip(self._sources, counts, strict=True)
        ]

    @property
    def _told(self) -> dict[str, Json]:
        return told(self._settings, self._described([SourceCounts()] * len(self._sources)))

    def _begin(self, parts: Parts, out: Path) -> tuple[ReservoirSample, int]:
        """Start, or go on where an earlier start was interrupted: the draw so far, and the images done."""
        wanted = {**self._told, "inputs": fingerprint(file for source in self._sources for file in source.files())}
        found = parts.job()
        if found is None:
            parts.begin(wanted)
        elif found != wanted:
            raise BprError(
                f"{out} holds an unfinished patch set, {difference(found, wanted)}; ask for the same to finish it, "
                "give another --out, or --overwrite"
            )
        draw = ReservoirSample(self._settings.max_patches)
        resumed = 0
        for number in range(parts.done):
            results = parts.read(number)
            resumed += len(results)
            for result in results:
                _offer(draw, result)
        return draw, resumed

    def _extract(
        self, parts: Parts, draw: ReservoirSample, resumed: int, workers: int, on_image: Callable[[], None]
    ) -> None:
        """Work on the images that are not done, and keep their results part by part."""
        batch: list[ImageResult] = []
        for result in in_order(lambda job: extract_image(*job, self._settings, draw), self._queue[resumed:], workers):
            batch.append(_offer(draw, result))
            on_image()
            if len(batch) == PART_IMAGES or sum(map(_bytes, batch)) >= PART_BYTES:
                parts.append(batch)
                batch = []
        if batch:
            parts.append(batch)

    def _finish(self, parts: Parts, draw: ReservoirSample, out: Path) -> tuple[PatchSet, list[Failure]]:
        """Make the set of the parts."""
        counts = [SourceCounts()] * len(self._sources)
        failures = self._unusable
        kept = 0
        staging = parts.staging()
        writer = PatchSetWriter(staging, self._settings)
        for result in (result for number in range(parts.done) for result in parts.read(number)):
            counts[result.source] += result.counts
            failures += [result.failure] if result.failure else []
            drawn = [patch for patch in result.patches if patch.key <= draw.limit]
            for patch in drawn:
                writer.add(patch.record, patch.origin)
            kept += len(drawn)
        if kept == 0:
            parts.remove()
            raise BprError(_nothing(sum(counts, SourceCounts()), failures))
        writer.close(self._described(counts))
        move_set(staging, out)
        return PatchSet(out), failures

    @property
    def _unusable(self) -> list[Failure]:
        return [failure for source in self._sources for failure in source.failures]


def _offer(draw: ReservoirSample, result: ImageResult) -> ImageResult:
    """The result with those patches only that may still be drawn."""
    return replace(result, patches=tuple(patch for patch in result.patches if draw.offer(patch.key)))


def _bytes(result: ImageResult) -> int:
    return sum(len(patch.record) for patch in result.patches)


def _nothing(seen: SourceCounts, failures: Sequence[Failure]) -> str:
    """Why there is no patch."""
    if failures:
        return f"no image could be used: {failures[0].reason}"
    if seen.matched == 0:
        return (
            f"none of the {seen.segments} coarse masks has a true counterpart; check --ground-truth and the categories "
            "of both, or lower --min-iou"
        )
    return f"none of the {seen.matched} coarse masks with a true counterpart has a useful patch along its boundary"
