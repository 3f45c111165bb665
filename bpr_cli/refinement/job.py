"""A refinement into files: by one process at a time, and going on where an earlier one stopped."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bpr_cli.errors import BprError
from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.source import REPORT, is_report
from bpr_cli.refinement.pipeline import OnItem, refine_predictions
from bpr_cli.refinement.refiner import Refiner
from bpr_cli.refinement.report import RefineSummary, summarise
from bpr_cli.system.atomic import remove_leftovers, writing
from bpr_cli.system.journal import Journal, check_resumable
from bpr_cli.system.paths import output_file, write_bytes
from bpr_cli.version import __version__

FOLDER = ".bpr"

NOT_IN_RESULT = ("weights", "device", "backend", "batch_size", "workers")
"""Settings that only change speed or names; of the weights their digest counts, of the device its kind, and of the
backends the one that ran."""


def refine_to(
    refiner: Refiner,
    predictions: PredictionSet,
    out: Path,
    overwrite: bool = False,
    on_item: OnItem = lambda _: None,
) -> RefineSummary:
    """Refine a prediction set to files, or what an earlier start with the same settings left to do.

    The summary is also written, see ``report_path``. A report that is there tells of a refinement that came to its end.

    Args:
        refiner: network and settings.
        predictions: the opened set.
        out: directory or file of the output, see ``PredictionSet.writer``.
        overwrite: forget what was done before.
        on_item: see ``refine_predictions``.

    Raises:
        BprError: another process refines to ``out``, it holds a refinement with other settings or another's report,
            or it cannot be written.
    """
    folder, report = work_folder(predictions, out), report_path(predictions, out)
    one_file = is_one_file(predictions, out)
    check_report(report)
    settings = settings_of(refiner, predictions)
    with Journal(folder, out, settings, predictions.shared_files(), overwrite) as journal:
        if journal.resumed and not one_file:
            with writing(out):
                remove_leftovers(out)
        if report:
            with writing(report):
                report.unlink(missing_ok=True)
        result = refine_predictions(refiner, predictions, predictions.writer(out), on_item, journal)
        if not result.written or (one_file and not result.failures):
            journal.discard()
        summary = summarise(refiner, predictions, result, out)
        if report and result.written:
            write_bytes(report, json.dumps(asdict(summary), indent=2).encode() + b"\n")
    return summary


def is_one_file(predictions: PredictionSet, out: Path) -> bool:
    """Whether the output is a file, maybe with a folder that belongs to it, and not a directory of its own."""
    name = predictions.one_file
    return name is not None and output_file(out, name) == out


def work_folder(predictions: PredictionSet, out: Path) -> Path:
    """The hidden folder for what an unfinished refinement must remember.

    It lies in the directory of the output, and is kept there, so that a finished output can be checked and completed.
    Beside an output of one file it lies only until that is complete.
    """
    if is_one_file(predictions, out):
        return out.with_name(f"{FOLDER}-{hashlib.sha256(out.name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}")
    return out / FOLDER


def report_path(predictions: PredictionSet, out: Path) -> Path | None:
    """Where the report goes: into the directory of the output, but nowhere beside an output of one file.

    Nowhere either where the predictions are themselves called like it.
    """
    called_alike = predictions.one_file is not None and predictions.one_file.casefold() == REPORT
    return None if called_alike or is_one_file(predictions, out) else out / REPORT


def check_start(refiner: Refiner, predictions: PredictionSet, out: Path, overwrite: bool) -> None:
    """Refuse an output that ``refine_to`` would refuse for what lies in it; writes nothing.

    Raises:
        BprError: it holds a refinement with other settings, or another's report.
    """
    check_report(report_path(predictions, out))
    if not overwrite:
        check_resumable(work_folder(predictions, out), out, settings_of(refiner, predictions))


def check_report(report: Path | None) -> None:
    """Refuse to take the place of a file that is no report.

    Raises:
        BprError: so it is.
    """
    if report and report.exists() and not is_report(report):
        raise BprError(
            f"the report of the refinement would overwrite {report}, which is something else; move that file, or give "
            "another --out"
        )


def settings_of(refiner: Refiner, predictions: PredictionSet) -> dict[str, Any]:
    """All that the result depends on beside the input files."""
    chosen = {name: value for name, value in asdict(refiner.settings).items() if name not in NOT_IN_RESULT}
    return {
        "bpr": __version__,
        "weights": refiner.weights.digest,
        "device": sorted({device.partition(":")[0] for device in refiner.devices}),
        "backend": refiner.backend,
        **predictions.settings,
        **chosen,
    }
