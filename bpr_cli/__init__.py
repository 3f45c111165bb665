"""bpr: sharpen the boundaries of existing segmentation masks.

Functions for files and directories work like the commands of the same name:

    bpr_cli.refine("preds.json", "images/", "refined/")
    bpr_cli.evaluate("refined/", "labels/", baseline="preds.json")
    bpr_cli.convert("preds.json", "labels/", "yolo", "images/")
    bpr_cli.extract("preds.json", "images/", "labels/", "patches/")
    bpr_cli.train("patches/", "run/")

For arrays, use ``Refiner(device="cpu").refine(image, mask)``. Expected failures raise ``BprError``.
"""

from __future__ import annotations

from bpr_cli.version import __version__

TYPE_CHECKING = False  # typing takes longer than all else here, and Ctrl-C shows a traceback until this is imported
if TYPE_CHECKING:
    from bpr_cli.conversion.job import convert
    from bpr_cli.errors import BprError
    from bpr_cli.evaluation.evaluation import evaluate
    from bpr_cli.evaluation.settings import EvaluateSettings
    from bpr_cli.formats.reading import ReadSettings
    from bpr_cli.patchset.extract import extract
    from bpr_cli.patchset.settings import PatchSetSettings
    from bpr_cli.refinement.check import check
    from bpr_cli.refinement.job import refine
    from bpr_cli.refinement.merge import merge
    from bpr_cli.refinement.refiner import Refiner
    from bpr_cli.refinement.settings import RefineSettings
    from bpr_cli.system.cluster import ClusterSettings
    from bpr_cli.system.shards import Shard
    from bpr_cli.training.recipe import load_recipe
    from bpr_cli.training.settings import TrainSettings
    from bpr_cli.training.train import train

__all__ = [
    "BprError",
    "ClusterSettings",
    "EvaluateSettings",
    "PatchSetSettings",
    "ReadSettings",
    "RefineSettings",
    "Refiner",
    "Shard",
    "TrainSettings",
    "__version__",
    "check",
    "convert",
    "evaluate",
    "extract",
    "load_recipe",
    "merge",
    "refine",
    "train",
]

_MODULES = {
    "BprError": "errors",
    "ClusterSettings": "system.cluster",
    "EvaluateSettings": "evaluation.settings",
    "PatchSetSettings": "patchset.settings",
    "ReadSettings": "formats.reading",
    "RefineSettings": "refinement.settings",
    "Refiner": "refinement.refiner",
    "Shard": "system.shards",
    "TrainSettings": "training.settings",
    "check": "refinement.check",
    "convert": "conversion.job",
    "evaluate": "evaluation.evaluation",
    "extract": "patchset.extract",
    "load_recipe": "training.recipe",
    "merge": "refinement.merge",
    "refine": "refinement.job",
    "train": "training.train",
}


def __getattr__(name: str) -> object:
    """Import modules that need NumPy or PyTorch on first use, so that ``bpr --help`` need not wait for them."""
    from importlib import import_module  # noqa: PLC0415 - as typing

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
