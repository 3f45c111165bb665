"""Refinement of files: one process at a time per output, and interrupted runs resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.output_checks import check_outputs
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.refinement.engine import Engine, make_engine
from bpr_cli.refinement.network_used import NetworkUsed
from bpr_cli.refinement.output import check_files, is_one_file, report_path, work_folder
from bpr_cli.refinement.pipeline import Work
from bpr_cli.refinement.provenance import Provenance
from bpr_cli.refinement.report import RefineSummary, summarise, write_report
from bpr_cli.refinement.result import OnItem, RefineResult
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.settings import Count, check_settings, checked
from bpr_cli.system.atomic import remove_leftovers, writing
from bpr_cli.system.cluster import ClusterSettings
from bpr_cli.system.journal import Journal, check_resumable
from bpr_cli.system.paths import as_path
from bpr_cli.system.shards import Shard
from bpr_cli.system.store import remove
from bpr_cli.system.terminal import show_progress, tell

if TYPE_CHECKING:
    from bpr_cli.refinement.refiner import Refiner


def refine(
    predictions: Path | str,
    images: Path | str,
    out: Path | str,
    settings: RefineSettings = RefineSettings(),  # noqa: B008 - frozen
    options: ReadSettings = ReadSettings(),  # noqa: B008 - frozen
    *,
    pictures: int = 0,
    processes: int | None = None,
    cluster: ClusterSettings = ClusterSettings(),  # noqa: B008 - frozen
    shard: Shard | None = None,
    overwrite: bool = False,
    progress: bool = False,
    on_item: OnItem = lambda _: None,
) -> RefineSummary:
    """Refine predictions in files, as ``bpr refine`` does; an interrupted refinement resumes when it is repeated.

    Args:
        predictions: a directory, a JSON file or a single mask.
        images: the directory of the images, or a single image.
        out: output file or directory, created if missing. A directory also receives the report, ``run.json``.
        settings: how to refine.
        options: how to read the predictions; by default the format is detected.
        pictures: largest number of before/after pictures, of the images that changed most; they are written to the
            folder ``pictures`` in ``out``, or beside it if it is a file.
        processes: number of processes that refine images, each with a network of its own; None for one, and on a
            cluster for as many as it has room for. Several GPUs are shared out among them. Programs that use more than
            one must be importable (``if __name__ == "__main__":``).
        cluster: the Ray cluster on which they run; by default none. All nodes must see the same files.
        shard: refine this part of the images, and leave common files to ``merge``; it draws no pictures.
        overwrite: start afresh instead of resuming.
        progress: show what the input was taken for and a progress bar on standard error.
        on_item: called after every item, whether refined, failed or resumed.

    Returns:
        The summary. ``failures`` lists the items that could not be refined; all others are written.

    Raises:
        BprError: nothing can be refined; ``out`` would overwrite an input or holds other files; ``out`` was started
            with other settings, or another number of shards, or is in use by another process.

    Example:
        >>> summary = bpr_cli.refine("preds.json", "val2017", "refined", RefineSettings(device="cuda"))
        >>> summary.boundary_movement, summary.failures
    """
    check_settings(settings, RefineSettings)
    check_settings(cluster, ClusterSettings, "cluster")
    cluster.check_paths((predictions, images, out))
    target = as_path(out, "out")
    opened = open_for(predictions, images, target, options)
    tell(progress, opened.reading.sentence(predictions))
    from bpr_cli.refinement.pictures import add_pictures  # noqa: PLC0415 - most runs draw nothing

    engine = make_engine(settings, checked("processes", processes, Count | None), cluster)
    with closing(engine):
        if overwrite or not Provenance.recorded(work_folder(opened, target), shard, settings, opened):
            engine.network()  # before the progress bar, whose pace is that of the images
        with show_progress(progress, "refining", len(items_of(opened, shard))) as count:

            def advance(item: Item, resumed: bool = False) -> None:
                count(resumed=resumed)
                on_item(item)

            draw = partial(add_pictures, opened, target, opened.read_settings or options, pictures)
            resume = partial(advance, resumed=True)
            return refine_opened(engine, opened, target, overwrite, advance, resume, draw, shard)


def open_for(predictions: Path | str, images: Path | str, out: Path | None, options: ReadSettings) -> PredictionSet:
    """Open the predictions to refine and check ``out``, if it is given; writes nothing.

    Raises:
        BprError: an argument has the wrong type, nothing can be refined, or ``out`` would overwrite an input or cannot
            be written.
    """
    check_settings(options, ReadSettings, "options")
    if options.image_info:
        options = replace(options, image_info=as_path(options.image_info, "image_info"))
    opened = open_predictions(as_path(predictions, "predictions"), as_path(images, "images"), options)
    if out:
        check_outputs(out, refined=opened)
    return opened


def items_of(predictions: PredictionSet, shard: Shard | None) -> Sequence[Item]:
    """The items of a shard, or all."""
    return shard.items(predictions.items) if shard else predictions.items


def refine_opened(
    engine: Engine,
    predictions: PredictionSet,
    out: Path,
    overwrite: bool = False,
    on_item: OnItem = lambda _: None,
    on_resumed: OnItem | None = None,
    on_written: Callable[[RefineResult], None] = lambda _: None,
    shard: Shard | None = None,
) -> RefineSummary:
    """Do the work of ``refine`` with predictions from ``open_for`` and an engine that can be reused.

    The network is loaded only if something is left to do. ``on_resumed``, if given, is called for resumed items in
    place of ``on_item``; ``on_written`` is called with the result once all refined predictions are written, before the
    report is; not for a shard.
    """
    check_files(predictions, out, overwrite)
    folder, settings, shared = work_folder(predictions, out), engine.settings, predictions.shared_files()
    recorded = None if overwrite else Provenance.recorded(folder, shard, settings, predictions)
    provenance = recorded or Provenance.of(engine.network(), settings, predictions)
    with Journal(folder, out, provenance.header(predictions), shared, overwrite, shard) as journal:
        if (journal.resumed or overwrite) and not shard:
            remove_temporary(predictions, out)
        remove_report(predictions, out)
        items, result = items_of(predictions, shard), RefineResult()
        with result.timed():
            left = result.take_up(predictions, items, journal, on_resumed or on_item)
        if left:
            provenance = Provenance.of(engine.network(), settings, predictions)
            journal.check(provenance.header(predictions))
            with result.timed():
                engine.refine(left, Work(predictions, predictions.writer(out), journal, result, on_item))
        if result.has_deaths and not shard:
            remove_temporary(predictions, out)
        result.settle(predictions, items)
        if shard:
            return summarise(provenance.network, settings, predictions, result, out)
        return complete(provenance, predictions, out, journal, result, on_written)


def remove_temporary(predictions: PredictionSet, out: Path) -> None:
    """Remove what killed processes have left; no process may be writing to the output."""
    if not is_one_file(predictions, out):
        with writing(out):
            remove_leftovers(out)


def remove_report(predictions: PredictionSet, out: Path) -> None:
    """Remove the report of an earlier refinement: it stands for a complete output."""
    if report := report_path(predictions, out):
        with writing(report):
            remove(report)


def complete(
    provenance: Provenance,
    predictions: PredictionSet,
    out: Path,
    journal: Journal,
    result: RefineResult,
    on_written: Callable[[RefineResult], None] = lambda _: None,
) -> RefineSummary:
    """Write the common file of all items and the report, once no item is left to do."""
    with result.timed():
        result.close(predictions.writer(out), journal)
    if not result.written or (is_one_file(predictions, out) and not result.failures):
        journal.discard()
    on_written(result)
    summary = summarise(provenance.network, provenance.settings, predictions, result, out)
    report = report_path(predictions, out)
    if report and (result.written or not result.failures):
        write_report(report, summary)
    return summary


def check_start(refiner: Refiner, predictions: PredictionSet, out: Path, overwrite: bool) -> None:
    """Check the content of the output as ``refine_opened`` does; writes nothing.

    Raises:
        BprError: the output was started with other settings, or another file has the name of the report.
    """
    check_files(predictions, out, overwrite)
    if not overwrite:
        header = Provenance.of(NetworkUsed.of(refiner), refiner.settings, predictions).header(predictions)
        check_resumable(work_folder(predictions, out), out, header)
