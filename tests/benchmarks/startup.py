"""CPU time of help texts and completion, compared with the import of their libraries.

    python tests/benchmarks/startup.py [RUNS]

Every command runs RUNS times (default 20), alternating with ``import typer, rich``. The table shows the least user and
system time of each, which other programs disturb least, and its ratio to the time of the import.
"""

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = "import typer, rich"
BPR = "from bpr_cli.cli.main import program; program()"
COMMANDS = {
    "bpr --help": (BPR, "--help"),
    "bpr --version": (BPR, "--version"),
    "bpr refine --help": (BPR, "refine", "--help"),
    "bpr ref<TAB>": (BPR,),
    "bpr refine --im<TAB>": (BPR,),
    REFERENCE: (REFERENCE,),
}


def processor_time(name: str) -> float:
    """Seconds of user and system time that a command takes."""
    typed = name.removesuffix("<TAB>")
    completion = {
        "_BPR_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", *COMMANDS[name]],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | (completion if name != typed else {}),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, nargs="?", default=20)
    runs = parser.parse_args().runs
    times = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, found in times.items():
            found.append(processor_time(name))
    reference = min(times[REFERENCE])
    for name, found in times.items():
        print(f"{name:<22}{1000 * min(found):7.1f} ms {min(found) / reference:6.2f}")


if __name__ == "__main__":
    main()
