"""CPU time of help texts, completion and the refinement of one mask, compared with the import of their libraries.

    python tests/benchmarks/startup.py [RUNS]

Every command runs RUNS times (default 20), alternating with what it is compared with: ``import typer, rich``, or for a
refinement, with its network, ``import torch``. The table shows the least user and system time of each, which other
programs disturb least, and its ratio to the time of the import.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE, TORCH = "import typer, rich", "import torch"
BPR = "from bpr_cli.cli.main import program; program()"
COMMANDS = {
    "bpr --help": (BPR, "--help"),
    "bpr --version": (BPR, "--version"),
    "bpr refine --help": (BPR, "refine", "--help"),
    "bpr ref<TAB>": (BPR,),
    "bpr refine --im<TAB>": (BPR,),
    REFERENCE: (REFERENCE,),
    "bpr refine, one mask": (BPR, "refine", "mask.png", "--images", "image.png", "--out", "out", "--overwrite"),
    TORCH: (TORCH,),
}


def draw(folder: Path) -> None:
    """An image of 2048 x 1024 and a mask of 134 x 92 pixels."""
    coarse = np.random.default_rng(0).integers(0, 256, (32, 64, 3)).astype(np.uint8)
    image, mask = cv2.resize(coarse, (2048, 1024), interpolation=cv2.INTER_CUBIC), np.zeros((1024, 2048), np.uint8)
    cv2.ellipse(image, (604, 503), (67, 46), 26, 0, 360, (200, 40, 40), -1)
    cv2.ellipse(mask, (600, 500), (67, 46), 20, 0, 360, 255, -1)
    cv2.imwrite(str(folder / "image.png"), image)
    cv2.imwrite(str(folder / "mask.png"), mask)


def processor_time(name: str, folder: Path) -> float:
    """Seconds of user and system time that a command takes in a folder."""
    typed = name.removesuffix("<TAB>")
    completion = {
        "_BPR_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", *COMMANDS[name]],
        # An empty variable lets Python keep compiled modules, as it does where bpr is installed.
        env=os.environ
        | {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": ""}
        | (completion if name != typed else {}),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, nargs="?", default=20)
    runs = parser.parse_args().runs
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder))
        for _ in range(runs):
            for name, found in times.items():
                found.append(processor_time(name, Path(folder)))
    for name, found in times.items():
        reference = min(times[TORCH if name in (TORCH, "bpr refine, one mask") else REFERENCE])
        print(f"{name:<22}{1000 * min(found):7.1f} ms {min(found) / reference:6.2f}")


if __name__ == "__main__":
    main()
