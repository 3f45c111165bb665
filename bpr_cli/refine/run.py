"""A refinement into files: by one process at a time, and going on where an earlier one stopped."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from bpr_cli.files import remove_leftovers
from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.files import output_file
from bpr_cli.formats.spool import Spool
from bpr_cli.lock import sole_writer
from bpr_cli.refine.manifest import Manifest, Settings
from bpr_cli.refine.pipeline import OnItem, RefineResult, refine_predictions
from bpr_cli.refine.refiner import Refiner
from bpr_cli.version import __version__

MANIFEST, RECORDS = "manifest.jsonl", "records.json"
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
) -> RefineResult:
    """Refine a prediction set to files, or what an earlier start with the same settings left to do.

    Args:
        refiner: network and settings.
        predictions: the opened set.
        out: directory or file of the output, see ``PredictionSet.writer``.
        overwrite: forget what was done before.
        on_item: see ``refine_predictions``.

    Raises:
        BprError: another process refines to ``out``, it holds a refinement with other settings, or it cannot be
            written.
    """
    folder = work_folder(predictions, out)
    one_file = folder.name != FOLDER
    in_use = f"the output {out} is in use by another refinement; wait for it, stop it, or give another --out"
    with sole_writer(folder, in_use):
        if overwrite:
            forget(folder)
        elif not one_file and (folder / MANIFEST).exists():
            remove_leftovers(out)
        with closing(Spool(folder / RECORDS)) as spool:
            manifest = Manifest(folder / MANIFEST, folder.parent, predictions, spool)
            manifest.begin(settings_of(refiner, predictions))
            result = refine_predictions(refiner, predictions, predictions.writer(out, spool), on_item, manifest)
        if not result.written or (one_file and not result.failures):
            forget(folder)
    return result


def work_folder(predictions: PredictionSet, out: Path) -> Path:
    """The hidden folder for what an unfinished refinement must remember.

    It lies in the directory of the output, and is kept there, so that a finished output can be checked and completed.
    Beside an output of one file it lies only until that is complete.
    """
    name = predictions.one_file
    if name is not None and output_file(out, name) == out:
        return out.with_name(f"{FOLDER}-{hashlib.sha256(out.name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}")
    return out / FOLDER


def forget(folder: Path) -> None:
    """Remove what was remembered."""
    for name in (MANIFEST, RECORDS):
        (folder / name).unlink(missing_ok=True)


def settings_of(refiner: Refiner, predictions: PredictionSet) -> Settings:
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
