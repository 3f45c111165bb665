"""Refinement of files: one process at a time per output, and interrupted runs resume."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.output_checks import check_outputs
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.formats.source import REPORT, is_report
from bpr_cli.refinement.pipeline import OnItem, RefineResult, refine_predictions
from bpr_cli.refinement.report import RefineSummary, summarise
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.settings import check_settings
from bpr_cli.system.atomic import remove_leftovers, writing
from bpr_cli.system.journal import FOLDER, Journal, check_resumable
from bpr_cli.system.paths import as_path, output_file, write_bytes
from bpr_cli.system.terminal import show_progress, tell
from bpr_cli.version import __version__

if TYPE_CHECKING:
    from bpr_cli.refinement.refiner import Refiner

NOT_IN_RESULT = ("weights", "device", "backend", "batch_size", "workers")
"""Settings that do not decide whether a run may resume. Instead, the journal compares the digest of the weights, the
kind of the device and the backend that ran."""


def refine(
    predictions: Path | str,
    images: Path | str,
    out: Path | str,
    settings: RefineSettings = RefineSettings(),  # noqa: B008 - frozen
    options: ReadSettings = ReadSettings(),  # noqa: B008 - frozen
    *,
    pictures: int = 0,
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
        overwrite: start afresh instead of resuming.
        progress: show what the input was taken for and a progress bar on standard error.
        on_item: called after every item, whether refined, failed or resumed.

    Returns:
        The summary. ``failures`` lists the items that could not be refined; all others are written.

    Raises:
        BprError: nothing can be refined; ``out`` would overwrite an input or holds other files; ``out`` was started
            with other settings or is in use by another process.

    Example:
        >>> summary = bpr_cli.refine("preds.json", "val2017", "refined", RefineSettings(device="cuda"))
        >>> summary.boundary_movement, summary.failures
    """
    check_settings(settings, RefineSettings)
    target = as_path(out, "out")
    opened = open_for(predictions, images, target, options)
    tell(progress, opened.reading.sentence(predictions))
    from bpr_cli.refinement.pictures import add_pictures  # noqa: PLC0415 - most runs draw nothing
    from bpr_cli.refinement.refiner import Refiner  # noqa: PLC0415 - input is checked before PyTorch is imported

    refiner = Refiner(settings)
    with show_progress(progress, "refining", len(opened.items)) as count:

        def advance(item: Item, resumed: bool = False) -> None:
            count(resumed=resumed)
            on_item(item)

        draw = partial(add_pictures, opened, target, options, pictures)
        return refine_opened(refiner, opened, target, overwrite, advance, partial(advance, resumed=True), draw)


def open_for(predictions: Path | str, images: Path | str, out: Path | None, options: ReadSettings) -> PredictionSet:
    """Open the predictions to refine and check ``out``, if it is given; writes nothing.

    Raises:
        BprError: an argument has the wrong type, nothing can be refined, or ``out`` would overwrite an input or cannot
            be written.
    """
    check_settings(options, ReadSettings, "options")
    opened = open_predictions(as_path(predictions, "predictions"), as_path(images, "images"), options)
    if out:
        check_outputs(out, refined=opened)
    return opened


def refine_opened(
    refiner: Refiner,
    predictions: PredictionSet,
    out: Path,
    overwrite: bool = False,
    on_item: OnItem = lambda _: None,
    on_resumed: OnItem | None = None,
    on_written: Callable[[RefineResult], None] = lambda _: None,
) -> RefineSummary:
    """Do the work of ``refine`` with predictions from ``open_for`` and a refiner that can be reused.

    ``on_resumed``, if given, is called for resumed items in place of ``on_item``; ``on_written`` is called with the
    result once all refined predictions are written, before the report is.
    """
    report, one_file = report_path(predictions, out), is_one_file(predictions, out)
    check_files(predictions, out, overwrite)
    settings, names = settings_of(refiner, predictions), names_of(refiner)
    with Journal(work_folder(predictions, out), out, settings, predictions.shared_files(), overwrite, names) as journal:
        if (journal.resumed or overwrite) and not one_file:
            with writing(out):
                remove_leftovers(out)
        if report:
            with writing(report):
                report.unlink(missing_ok=True)
        result = refine_predictions(refiner, predictions, predictions.writer(out), on_item, journal, on_resumed)
        if not result.written or (one_file and not result.failures):
            journal.discard()
        on_written(result)
        summary = summarise(refiner, predictions, result, out)
        if report and (result.written or not result.failures):
            write_bytes(report, json.dumps(asdict(summary), indent=2).encode() + b"\n")
    return summary


def is_one_file(predictions: PredictionSet, out: Path) -> bool:
    """Whether the output is a single file, possibly with a folder of its own, rather than a directory."""
    name = predictions.one_file
    return name is not None and output_file(out, name) == out


def work_folder(predictions: PredictionSet, out: Path) -> Path:
    """The hidden folder of the journal.

    In an output directory it stays, so that a finished output can be checked and completed. Beside a single output file
    it exists only until that file is complete.
    """
    if is_one_file(predictions, out):
        return out.with_name(f"{FOLDER}-{hashlib.sha256(out.name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}")
    return out / FOLDER


def report_path(predictions: PredictionSet, out: Path) -> Path | None:
    """Path of the report in the output directory; None for a single output file.

    Also None if the predictions themselves have the name of the report.
    """
    same_name = predictions.one_file is not None and predictions.one_file.casefold() == REPORT
    return None if same_name or is_one_file(predictions, out) else out / REPORT


def check_start(refiner: Refiner, predictions: PredictionSet, out: Path, overwrite: bool) -> None:
    """Check the content of the output as ``refine_opened`` does; writes nothing.

    Raises:
        BprError: the output was started with other settings, or another file has the name of the report.
    """
    check_files(predictions, out, overwrite)
    if not overwrite:
        check_resumable(work_folder(predictions, out), out, settings_of(refiner, predictions), names_of(refiner))


def check_files(predictions: PredictionSet, out: Path, overwrite: bool) -> None:
    """Check that a refinement replaces no file in the output directory that none has written.

    Args:
        predictions: what will be refined.
        out: output file, which is replaced in any case, or directory.
        overwrite: whether refined predictions may replace such files.

    Raises:
        BprError: a file has the name of a refined prediction, but the directory has no journal (``.bpr``); or a file
            that is not the report of a refinement has the name of the report.
    """
    report = report_path(predictions, out)
    if report and report.exists() and not is_report(report):
        raise BprError(
            f"the report of the refinement would overwrite {report}, which is something else; move that file, or "
            "choose another --out"
        )
    if overwrite or is_one_file(predictions, out) or work_folder(predictions, out).exists():
        return
    names = [predictions.one_file] if predictions.one_file else [item.name for item in predictions.items]
    if found := next((out / name for name in names if (out / name).is_file()), None):
        raise BprError(
            f"the output {out} already holds {found.name}, which no refinement wrote; give another --out, or "
            "--overwrite to replace such files"
        )


def settings_of(refiner: Refiner, predictions: PredictionSet) -> dict[str, Any]:
    """Everything that determines the result, except the input files."""
    chosen = {name: value for name, value in asdict(refiner.settings).items() if name not in NOT_IN_RESULT}
    return {
        "bpr": __version__,
        "weights": refiner.weights.digest,
        "device": sorted({device.type for device in refiner.predictor.devices}),
        "backend": refiner.predictor.backend.name,
        **predictions.settings,
        **chosen,
    }


def names_of(refiner: Refiner) -> dict[str, str]:
    """How messages name settings that are digests."""
    return {"weights": f"{refiner.settings.weights} (SHA-256 {refiner.weights.digest[:12]}…)"}
