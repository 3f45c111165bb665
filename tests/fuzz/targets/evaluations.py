"""What an evaluation is given: predictions, a baseline and ground truth of every kind."""

import json
from collections.abc import Callable
from pathlib import Path

from bpr_cli.evaluation.evaluation import evaluate
from bpr_cli.evaluation.report.files import to_csv
from bpr_cli.evaluation.settings import EvaluateSettings
from tests.cli.evaluations import KINDS, NAMES, TRUTH
from tests.cli.evaluations import make as make_evaluation
from tests.formats.format_builders import compressed, load, save
from tests.fuzz.harness import Target

MAYBE_JSON = ("coco", "lvis")


def make_lvis(folder: Path) -> None:
    """COCO annotations that do not cover all categories, and masks of several forms."""
    make_evaluation("coco", folder)
    truth = load(folder / "truth.json")
    for image in truth["images"]:
        image.update(neg_category_ids=[2], not_exhaustive_category_ids=[1])
    truth["categories"] = [{"id": n, "name": f"c{n}", "frequency": "rcf"[n % 3]} for n in (1, 2, 3)]
    truth["annotations"][0]["segmentation"] = [[2.0, 2.0, 20.0, 2.0, 20.0, 15.0]]
    save(folder / "truth.json", truth)


def make_union(folder: Path) -> None:
    """Binary masks, with COCO annotations as their ground truth."""
    make_evaluation("masks", folder)
    for name in NAMES:
        (folder / f"truth/{name}.png").unlink()
    images = [{"id": n, "file_name": f"{name}.png", "height": 40, "width": 48} for n, name in enumerate(NAMES, 1)]
    records = [{"id": n, "image_id": n, "category_id": 1, "segmentation": compressed(TRUTH)} for n in (1, 2, 3)]
    (folder / "truth").rmdir()
    save(folder / "truth.json", {"images": images, "annotations": records})


def maker(kind: str) -> Callable[[Path], object]:
    made = {"lvis": make_lvis, "union": make_union}
    return made.get(kind) or (lambda folder: make_evaluation(kind, folder))


def reader(kind: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        scored, truth = ((".json",) * 2) if kind in MAYBE_JSON else ("", ".json" if kind == "union" else "")
        after, before = (folder / f"{side}{scored}" for side in ("after", "before"))
        settings = EvaluateSettings(workers=1, allow_missing=True)
        given = {"baseline": before, "images": folder / "images"}
        report = evaluate(after, folder / f"truth{truth}", **given, settings=settings)
        # The page is left out, as drawing it takes ten times as long as all the rest.
        to_csv(report)
        json.dumps(report.to_json())

    return read


TARGETS = tuple(Target(f"evaluate {kind}", maker(kind), reader(kind)) for kind in (*KINDS, "lvis", "union"))
