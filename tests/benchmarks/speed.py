"""All ratios of speed and memory in one table.

    python tests/benchmarks/speed.py DATA

DATA holds ``speed``. The script runs the speed benchmarks one after the other; each of them can also be run alone. Run
it on an idle machine; it takes some minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from end_to_end import end_to_end_rows
from extraction import extraction_rows
from memory import memory_rows
from network import network_rows
from rows import show

BENCHMARKS = (network_rows, end_to_end_rows, extraction_rows, memory_rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    show("speed and memory", [row for rows_of in BENCHMARKS for row in rows_of(data)])


if __name__ == "__main__":
    main()
