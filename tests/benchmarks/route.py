"""Count the files and functions of the program that one mask of `bpr refine` and one image of `bpr evaluate` pass.

    python tests/benchmarks/route.py DATA [--list]

A profiler notes every function of `bpr_cli` that runs, in all threads, from the first argument to the last line of
output. What only imports run (module and class bodies) does not count. Few files mean few hops for a reader.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import bpr_cli
from bpr_cli.cli.main import main as bpr

PACKAGE = Path(bpr_cli.__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--list", action="store_true", help="name all files and functions")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        results, truth, images = one_image(given.data / "objects", Path(name))
        refine = ["refine", results, "--images", images, "--image-info", truth, "--out", f"{name}/out"]
        evaluate = ["evaluate", f"{name}/out", "--ground-truth", truth]
        for command in (refine, evaluate):
            show(command[0], passed([str(each) for each in command]), given.list)


def one_image(data: Path, folder: Path) -> tuple[Path, Path, Path]:
    """COCO results and annotations of a single image with one mask."""
    truth = json.loads((data / "instances_val.json").read_text())
    found = json.loads((data / "predictions/yolo/val.segm.json").read_text())[:1]
    ids = {each["image_id"] for each in found}
    for key, field in (("images", "id"), ("annotations", "image_id")):
        truth[key] = [each for each in truth[key] if each[field] in ids]
    (folder / "results.json").write_text(json.dumps(found))
    (folder / "truth.json").write_text(json.dumps(truth))
    return folder / "results.json", folder / "truth.json", data / "images/val"


def passed(arguments: list[str]) -> dict[str, set[str]]:
    """Names of the functions that a command runs, by file."""
    functions: dict[str, set[str]] = defaultdict(set)

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(PACKAGE)) and "<module>" not in code.co_qualname:
            name = code.co_qualname.rsplit("<locals>.", 1)[-1]
            is_class_body = "__module__" in code.co_names and "__qualname__" in code.co_names
            if not is_class_body and not name.startswith("<"):
                functions[str(Path(code.co_filename).relative_to(PACKAGE))].add(code.co_qualname)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        bpr(arguments)
    except SystemExit as stop:
        if stop.code:
            raise
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return functions


def show(command: str, functions: dict[str, set[str]], every: bool) -> None:
    print(f"bpr {command}: {len(functions)} files, {sum(map(len, functions.values()))} functions")
    for file, names in sorted(functions.items()) if every else ():
        print(f"  {file}: {', '.join(sorted(names))}")


if __name__ == "__main__":
    main()
