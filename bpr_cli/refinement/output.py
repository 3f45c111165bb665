"""The output of a refinement: a file or a directory, with the folder of its journal and its report."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.source import REPORT, is_report
from bpr_cli.system.journal import FOLDER
from bpr_cli.system.paths import output_file


def is_one_file(predictions: PredictionSet, out: Path) -> bool:
    """Whether the output is a single file, possibly with a folder of its own, rather than a directory."""
    name = predictions.one_file
    return name is not None and output_file(out, name) == out


def work_folder(predictions: PredictionSet, out: Path) -> Path:
    """The hidden folder of the journal.

    In an output directory it stays, so that a finished output can be checked and completed. Beside a single output file
    it exists only until that file is complete.
    """
    return folder_beside(out) if is_one_file(predictions, out) else out / FOLDER


def folder_beside(out: Path) -> Path:
    """The hidden folder of the journal of a single output file."""
    return out.with_name(f"{FOLDER}-{hashlib.sha256(out.name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}")


def report_path(predictions: PredictionSet, out: Path) -> Path | None:
    """Path of the report in the output directory; None for a single output file.

    Also None if the predictions themselves have the name of the report.
    """
    same_name = predictions.one_file is not None and predictions.one_file.casefold() == REPORT
    return None if same_name or is_one_file(predictions, out) else out / REPORT


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
    folder = work_folder(predictions, out)
    if overwrite or is_one_file(predictions, out) or folder.exists():
        return
    names = [predictions.one_file] if predictions.one_file else [item.name for item in predictions.items]
    found = next((out / name for name in names if (out / name).is_file()), None)
    if found and not folder.exists():  # another shard may have begun meanwhile
        raise BprError(
            f"the output {out} already holds {found.name}, which no refinement wrote; give another --out, or "
            "--overwrite to replace such files"
        )
