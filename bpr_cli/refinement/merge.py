"""Completes an output that was refined in shards; needs neither the network nor PyTorch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bpr_cli.errors import BprError, join_names
from bpr_cli.formats.base import Failure, Item, PredictionSet
from bpr_cli.refinement.job import complete, open_for, remove_report, remove_temporary
from bpr_cli.refinement.output import folder_beside, work_folder
from bpr_cli.refinement.provenance import InputArguments, Provenance
from bpr_cli.refinement.report import RefineSummary
from bpr_cli.refinement.result import RefineResult, find_faults, inputs_of
from bpr_cli.system.journal import FOLDER, Journal
from bpr_cli.system.journal_files import JournalHeader, every_files
from bpr_cli.system.paths import as_path
from bpr_cli.system.store import is_url
from bpr_cli.system.terminal import show_progress


def merge(out: Path | str, *, progress: bool = False) -> RefineSummary:
    """Complete an output that was refined in shards: write the common file, if the format has one, and the report.

    All files are byte for byte those of ``refine`` without shards; in the report, only times and ``resumed`` differ.

    Args:
        out: the output that was given to ``refine``.
        progress: show a progress bar on standard error.

    Returns:
        The summary. ``failures`` lists the images that a shard could not refine.

    Raises:
        BprError: images are missing; the message names the shards to run again. Or the shards have different settings,
            one of them is running, or the input is gone.
    """
    target = as_path(out, "out")
    folder = _folder_of(target)
    headers = _headers(folder, target)
    predictions = _opened([Provenance.parse(each.about).inputs for each in headers], target)
    header = headers[0]
    provenance = Provenance.parse(header.about)
    shared = predictions.shared_files()
    with Journal(work_folder(predictions, target), target, header, shared) as journal:
        with show_progress(progress, "merging", len(predictions.items)) as count:
            result = RefineResult()
            left = result.take_up(predictions, predictions.items, journal, lambda _: count())
        missing = _take_failures(result, predictions, left, journal)
        if missing:
            raise BprError(_missing(folder, target, predictions.items, missing))
        remove_temporary(predictions, target)
        remove_report(predictions, target)
        result.settle(predictions, predictions.items)
        return complete(provenance, predictions, target, journal, result)


def _folder_of(out: Path) -> Path:
    """The folder of the journal.

    Raises:
        BprError: there is none.
    """
    for folder in (out / FOLDER, *([folder_beside(out)] if out.name else [])):
        if every_files(folder):
            return folder
    raise BprError(
        f"{out} holds nothing to merge, expected the output of bpr refine with --shard; check the path, or refine the "
        "shards first"
    )


def _headers(folder: Path, out: Path) -> list[JournalHeader]:
    """The headers of all shards, which have the same settings.

    Raises:
        BprError: the settings of a shard differ, or an earlier version has written the journal.
    """
    found = [(files, header) for files in every_files(folder) if (header := files.header())]
    shards = [pair for pair in found if pair[0].shard] or found
    if not shards or not shards[0][1].about:
        raise BprError(f"{out} was written by another version of bpr, which cannot be merged; refine it again")
    first, header = shards[0]
    for files, _ in shards:
        files.check(
            header,
            out,
            f"shard {first.shard}",
            "repeat one of them with --overwrite and the settings of all others",
        )
    return [header for _, header in shards]


def _opened(every: Iterable[InputArguments | None], out: Path) -> PredictionSet:
    """Open the predictions as a shard did; others may have found them under paths that lead nowhere here, or by now.

    Raises:
        BprError: they are gone, or come from a program.
    """
    given = [each for each in every if each]
    if not given:
        raise BprError(f"{out} was not refined from files, so it cannot be merged")
    found = next((each for each in given if _is_there(each)), None)
    if found is None:
        raise BprError(
            f"{out} was refined from {given[0].predictions} and {given[0].images}, expected both to be there; if they "
            "have moved, repeat a shard with their new paths, then merge"
        )
    return _opened_as(found, out)


def _is_there(given: InputArguments) -> bool:
    """Whether both paths lead somewhere; nobody asks stores, which say so themselves."""
    return all(is_url(path) or _from_here(path, given.folder).exists() for path in (given.predictions, given.images))


def _opened_as(given: InputArguments, out: Path) -> PredictionSet:
    """Open the predictions as a shard did; relative paths lead to the same files from any directory."""
    info = given.reading.image_info
    reading = given.reading if info is None else replace(given.reading, image_info=_from_here(str(info), given.folder))
    images = _from_here(given.images, given.folder)
    return open_for(_from_here(given.predictions, given.folder), images, out, reading)


def _from_here(path: str, folder: str) -> Path:
    """A path or URL as it was given, if it leads to the same file from here; else in full."""
    if is_url(path):
        return Path(path)
    full = os.path.normpath(Path(folder) / path)
    return Path(path) if os.path.realpath(path) == os.path.realpath(full) else Path(full)


def _take_failures(
    result: RefineResult, predictions: PredictionSet, left: Sequence[Item], journal: Journal
) -> list[Item]:
    """Add what shards could not refine; returns the items that none has tried since their input changed."""
    missing = []
    for item in left:
        reason = journal.failed(item.name, inputs_of(predictions, item))
        if reason is None:
            missing.append(item)
        else:
            find_faults(predictions, item)
            result.failures.append(Failure(item.name, reason))
    return missing


def _missing(folder: Path, out: Path, items: Sequence[Item], missing: Sequence[Item]) -> str:
    """A sentence on the shards that are missing, or that have to be run again."""
    counts = [files.shard.count for files in every_files(folder) if files.shard]
    if not counts:
        return f"{out}: {len(missing)} of {len(items)} images are missing; repeat bpr refine to go on"
    count, places = max(counts), {item.name: place for place, item in enumerate(items)}
    left = Counter(places[item.name] % count + 1 for item in missing)
    sizes = Counter(place % count + 1 for place in range(len(items)))
    begun = {files.shard.number for files in every_files(folder) if files.shard}
    never = [f"{number}/{count}" for number in sorted(left) if number not in begun]
    partly = [
        f"{number}/{count} ({left[number]} of {sizes[number]} images)" for number in sorted(left) if number in begun
    ]
    parts = [f"not begun: {join_names(never, 20)}"] if never else []
    parts += [f"unfinished, or with files that changed since: {join_names(partly, 20)}"] if partly else []
    return (
        f"{out}: {len(missing)} of {len(items)} images are missing from {len(left)} of {count} shards; "
        f"{'; '.join(parts)}; run these shards again, then merge"
    )
