"""Extraction of a patch set: images in threads, results in order, resumable after a kill at any moment.

A journal keeps the finished images until all are done; then the set is written from it. The set depends neither on the
number of threads nor on interruptions.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure
from bpr_cli.formats.json_files import Json
from bpr_cli.formats.output_checks import check_outputs
from bpr_cli.formats.reading import MAX_PIXELS, Format, Ids, ReadSettings, Task
from bpr_cli.patchset.image import EncodedPatch, ImageResult, ReservoirSample, extract_image
from bpr_cli.patchset.layout import DOCUMENT, PatchSource, SourceCounts, remove_set
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.sources import OpenSource, SourceImage, SourcePaths, open_sources, pair_paths, with_simulated
from bpr_cli.patchset.store import PatchOrigin, PatchSet, PatchSetWriter
from bpr_cli.settings import Count, build, check_settings, checked
from bpr_cli.system.atomic import remove_leftovers
from bpr_cli.system.cluster import ClusterSettings
from bpr_cli.system.journal import FOLDER, Journal
from bpr_cli.system.journal_files import JournalHeader
from bpr_cli.system.parts import Distribution, named_range
from bpr_cli.system.paths import as_local_path, as_paths
from bpr_cli.system.terminal import Advance, show_progress, silent, tell
from bpr_cli.system.threads import default_workers, in_order

DEFAULTS = PatchSetSettings()
PART = 16
"""Images that a process extracts at a time."""
_LENGTH_BYTES = 8
PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class ExtractResult:
    """The outcome of an extraction.

    Attributes:
        patch_set: the finished set.
        failures: images that could not be used, with reasons.
        resumed: number of images that an earlier run had finished.
        elapsed: seconds from start to end.
    """

    patch_set: PatchSet
    failures: list[Failure]
    resumed: int
    elapsed: float


def extract(
    predictions: PathLike | Sequence[PathLike] | None,
    images: PathLike | Sequence[PathLike],
    ground_truth: PathLike | Sequence[PathLike],
    out: PathLike,
    settings: PatchSetSettings = DEFAULTS,
    *,
    format: Format | None = None,  # noqa: A002 - the name that all functions of the API use
    task: Task | None = None,
    ids: Ids | None = None,
    image_pattern: str | None = None,
    threshold: float | None = None,
    max_pixels: int = MAX_PIXELS,
    workers: int | None = None,
    processes: int | None = None,
    cluster: ClusterSettings = ClusterSettings(),  # noqa: B008 - frozen
    overwrite: bool = False,
    progress: bool = False,
) -> ExtractResult:
    """Extract a patch set for training: crops of images, coarse masks and ground truth along predicted boundaries.

    Args:
        predictions: files or directories with the predictions of one or several models. None if coarse masks are
            only simulated from the ground truth, which needs a ``settings.simulate`` of 1 or more.
        images: directories of the images: one for all predictions, or one for each.
        ground_truth: files or directories of the ground truth, likewise.
        out: directory of the patch set. The same call resumes an interrupted extraction.
        settings: how patches are chosen and stored.
        format: format of the predictions; None to detect it.
        task: the task that the predictions must have; None for any.
        ids: what the values of label maps are: "classes" or "objects"; None for classes.
        image_pattern: name of the image of a mask, with fields in braces; None finds images by name.
        threshold: threshold of soft masks, as a fraction of their range; None for one half.
        max_pixels: the largest image or mask that is read, in pixels.
        workers: images processed at the same time; None for one per core, at most 4.
        processes: number of processes that share the images; the set is the same. None for one, and on a cluster for
            as many as it has room for. Programs that use more than one must be importable
            (``if __name__ == "__main__":``).
        cluster: the Ray cluster on which they run; by default none. All nodes must see the same files.
        overwrite: replace an existing patch set.
        progress: show what the inputs were taken for and a progress bar on standard error.

    Raises:
        BprError: the inputs cannot be used, or the directory holds another patch set.
    """
    check_settings(settings, PatchSetSettings)
    distribution = Distribution(processes, cluster)
    target = as_local_path(out, "out")
    predicted = [] if predictions is None else as_paths(predictions, "predictions")
    given = pair_paths(predicted, as_paths(images, "images"), as_paths(ground_truth, "ground_truth"), settings)
    options = ReadSettings(format, task, ids, image_pattern=image_pattern, threshold=threshold, max_pixels=max_pixels)
    cluster.check_paths(path for one in given for path in one.paths)
    extraction = Extraction(given, settings, options)
    for sentence in extraction.sentences:
        tell(progress, sentence)
    with show_progress(progress, "extracting", extraction.images) as advance:
        return extraction.run(target, workers, overwrite, advance, distribution)


class Extraction:
    """Opened inputs, ready to be extracted.

    Args:
        given: the sources. With ``settings.simulate``, coarse masks are also simulated from all their ground truth.
        settings: settings of the set.
        options: how the predictions are read, except for their void labels.

    Attributes:
        images: number of images to process; an image with several predictions counts once for each.

    Raises:
        BprError: the inputs cannot be used.
    """

    def __init__(
        self,
        given: Sequence[SourcePaths],
        settings: PatchSetSettings,
        options: ReadSettings = ReadSettings(),  # noqa: B008 - frozen
    ) -> None:
        self._given = given
        self._settings = settings
        self._sources = open_sources(with_simulated(given) if settings.simulate else given, settings, options)
        self._queue = [(source, image) for source in self._sources for image in source.images]
        self.images = len(self._queue)

    @property
    def sentences(self) -> list[str]:
        """What every input was taken for, each once."""
        return list(dict.fromkeys(sentence for source in self._sources for sentence in source.sentences))

    def run(
        self,
        out: Path,
        workers: int | None = None,
        overwrite: bool = False,
        on_image: Advance = silent,
        distribution: Distribution = Distribution(),  # noqa: B008 - frozen
    ) -> ExtractResult:
        """Extract the set, or finish it.

        Args:
            out: directory of the set. If it holds this set already, the set is verified.
            workers: images processed at the same time; None for one per core, at most 4.
            overwrite: replace an existing set, finished or not.
            on_image: called in the calling thread after every image.
            distribution: how parts of the images are distributed; by default this process extracts all.

        Raises:
            BprError: the directory holds another set or is in use by another process, or no patch could be extracted.
        """
        began = time.monotonic()
        workers = default_workers() if workers is None else checked("workers", workers, Count)
        check_outputs(out, [path for one in self._given for path in one.paths])
        if (out / DOCUMENT).exists() and not overwrite:
            patch_set, failures, resumed = self._verify(out), list[Failure](), self.images
        else:
            patch_set, failures, resumed = self._extract(out, workers, overwrite, on_image, distribution)
        failures = [*(failure for source in self._sources for failure in source.failures), *failures]
        failures += [fault for source in self._sources for fault in source.faults()]
        return ExtractResult(patch_set, failures, resumed, time.monotonic() - began)

    def _verify(self, out: Path) -> PatchSet:
        """Verify the existing set and return it; it must have the same settings."""
        patch_set = PatchSet(out)
        found = _stated(patch_set.settings, patch_set.sources)
        for name, value in self._stated.items():
            if found[name] != value:
                raise BprError(
                    f"{out} holds a patch set already, made with {name} {found[name]}, expected {value}; give another "
                    "--out, or --overwrite"
                )
        patch_set.verify()
        if (out / FOLDER).exists():  # left by an earlier run that was killed at its very end
            with self._journal(out, overwrite=True):
                pass
        return patch_set

    def _extract(
        self, out: Path, workers: int, overwrite: bool, on_image: Advance, distribution: Distribution
    ) -> tuple[PatchSet, list[Failure], int]:
        """The set, the failures, and the number of images that an earlier run had finished."""
        with self._journal(out, overwrite) as journal:
            remove_leftovers(out)
            if overwrite:
                remove_set(out)
            sample = ReservoirSample(self._settings.max_patches)
            results = self._resume(journal, sample)
            for _ in range(resumed := len(results)):
                on_image(resumed=True)
            missing = [number for number in range(self.images) if number not in results]
            # Closed here: an interrupted one that is left to a thread of its own would wait for that thread there.
            with closing(self._results(missing, sample, workers, distribution)) as extracted:
                for number, result in zip(missing, extracted, strict=True):
                    patches = [patch for patch in result.patches if sample.offer(patch.key)]
                    results[number] = replace(result, patches=())
                    journal.add(f"{number}", (), asdict(results[number]), records={number: pack(patches)})
                    on_image()
            return *self._write(journal, out, sample, results), resumed

    def _results(
        self, missing: Sequence[int], sample: ReservoirSample, workers: int, distribution: Distribution
    ) -> Generator[ImageResult, None, None]:
        """The results of images, in their order."""
        here = _Share(self._queue, self._settings, sample, workers)
        if distribution.is_this_process:
            yield from in_order(here.extract, missing, workers)
            return
        parts = [missing[start : start + PART] for start in range(0, len(missing), PART)]
        share = replace(here, threads=distribution.threads(workers))
        extracted = distribution.map(_extract_part, share, parts, self._named)
        for part, results in zip(parts, extracted, strict=True):
            for number, result in zip(part, results, strict=True):
                yield result or here.extract(number)  # this process must know what is wrong with it

    def _named(self, part: Sequence[int]) -> str:
        return named_range([self._queue[number][1].name for number in part])

    @contextmanager
    def _journal(self, out: Path, overwrite: bool) -> Iterator[Journal]:
        """The journal of the extraction; it is removed unless there is an error."""
        files = (file for source in self._sources for file in source.files())
        with Journal(out / FOLDER, out, JournalHeader(self._stated), files, overwrite) as journal:
            yield journal
            journal.discard()

    def _resume(self, journal: Journal, sample: ReservoirSample) -> dict[int, ImageResult]:
        """The results of an earlier run without their patches; the keys of the patches are offered to the sample."""
        results = {}
        for number in range(self.images):
            stated = journal.done(f"{number}", ())
            if stated is not None:
                results[number] = build(ImageResult, stated)
        for _, content in journal.records():
            for patch in unpack(content):
                sample.offer(patch.key)
        return results

    def _write(
        self, journal: Journal, out: Path, sample: ReservoirSample, results: dict[int, ImageResult]
    ) -> tuple[PatchSet, list[Failure]]:
        """Write the set from the journal."""
        counts = [SourceCounts()] * len(self._sources)
        failures = []
        for _, result in sorted(results.items()):
            counts[result.source] += result.counts
            failures += [result.failure] if result.failure else []
        total = sum(counts, SourceCounts())
        if total.patches == 0:
            journal.discard()
            raise BprError(_nothing(total, failures, self._settings.min_iou))
        writer = PatchSetWriter(out, self._settings)
        for _, content in journal.records():
            for patch in unpack(content):
                if patch.key <= sample.limit:
                    writer.add(patch.record, patch.origin)
        return writer.close(self._described(counts)), failures

    def _described(self, counts: Sequence[SourceCounts]) -> list[PatchSource]:
        """Descriptions of the sources for ``set.json``."""
        return [
            PatchSource(
                source.paths.name,
                source.sets.predictions.format,
                str(source.paths.images),
                str(source.paths.truth),
                found + SourceCounts(failed=len(source.failures)),
            )
            for source, found in zip(self._sources, counts, strict=True)
        ]

    @property
    def _stated(self) -> dict[str, Json]:
        return _stated(self._settings, self._described([SourceCounts()] * len(self._sources)))


@dataclass(frozen=True)
class _Share:
    """What a worker extracts with.

    Attributes:
        queue: all images, each with its source.
        settings: settings of the set.
        sample: the patches of the set, as far as this process knows them.
        threads: images processed at the same time.
    """

    queue: Sequence[tuple[OpenSource, SourceImage]]
    settings: PatchSetSettings
    sample: ReservoirSample
    threads: int

    def extract(self, number: int) -> ImageResult:
        """The result of an image; patches that cannot be in the sample may be missing from it."""
        return extract_image(*self.queue[number], self.settings, self.sample)


def _extract_part(share: _Share, part: Sequence[int]) -> list[ImageResult | None]:
    """The results of images in one of several processes; None for those with records that cannot be read."""
    results: list[ImageResult | None] = []
    for number, result in zip(part, in_order(share.extract, part, share.threads), strict=True):
        patches = tuple(patch for patch in result.patches if share.sample.offer(patch.key))
        source, image = share.queue[number]
        results.append(None if source.has_faults(image) else replace(result, patches=patches))
    return results


def _stated(settings: PatchSetSettings, sources: Iterable[PatchSource]) -> dict[str, Json]:
    """Settings and sources as JSON: everything that determines a set, except the content of the input files."""
    named = [f"{source.name} ({source.format}, {source.images}, {source.truth})" for source in sources]
    content: dict[str, Json] = json.loads(json.dumps({**asdict(settings), "sources": ", ".join(named)}))
    return content


def pack(patches: Sequence[EncodedPatch]) -> bytes:
    """The patches of an image as one record of the journal."""
    header = json.dumps([[patch.key, len(patch.record), asdict(patch.origin)] for patch in patches]).encode()
    return b"".join([len(header).to_bytes(_LENGTH_BYTES, "little"), header, *(patch.record for patch in patches)])


def unpack(content: bytes) -> Iterator[EncodedPatch]:
    """The patches in a record made by ``pack``."""
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    for key, length, origin in json.loads(content[_LENGTH_BYTES:start]):
        x0, y0, x1, y1 = origin.pop("box")
        yield EncodedPatch(content[start : start + length], PatchOrigin(**origin, box=(x0, y0, x1, y1)), key)
        start += length


def _nothing(found: SourceCounts, failures: Sequence[Failure], min_iou: float) -> str:
    """The message for an extraction without patches."""
    if failures:
        return f"no image could be used: {failures[0].reason}"
    if found.matched == 0:
        why = f" ({found.why_unmatched(min_iou)})" if found.segments else ""
        return (
            f"none of the {found.segments} coarse masks matches the ground truth{why}; check --ground-truth and the "
            "categories of both, or lower --min-iou"
        )
    return f"none of the {found.matched} coarse masks that match the ground truth has a useful patch along its boundary"
