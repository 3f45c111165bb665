"""Where refined predictions may be written."""

from __future__ import annotations

from pathlib import Path

from bpr_cli.errors import BprError


def check_output(predictions: Path, images: Path, out: Path) -> None:
    """Refuse an output that would overwrite or mix with what is read.

    Raises:
        BprError: ``out`` is the predictions or the images, lies inside the predictions' directory, or is a file where
            a directory is needed.
    """
    target = out.resolve()
    for name, source in (("predictions", predictions), ("images", images)):
        if target == source.resolve() or (source.is_file() and target == source.resolve().parent and out.is_dir()):
            raise BprError(f"The output {out} would overwrite the {name} in {source}; give another --out.")
    if predictions.is_dir():
        if predictions.resolve() in target.parents:
            raise BprError(
                f"The output {out} lies inside the predictions {predictions}; give an --out outside of them."
            )
        if out.is_file():
            raise BprError(f"The output {out} is a file; refining a directory needs a directory as --out.")
