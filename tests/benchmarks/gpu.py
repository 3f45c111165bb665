"""What one GPU does for bpr, and what would make it faster: one command, at most five minutes, no network.

    python tests/benchmarks/gpu.py [--device cuda:0] [--out gpu.json] [--part NAME]

Needs the tree of this repository, PyTorch, NumPy and OpenCV. Other packages that bpr imports are replaced where they
are missing (``stand_ins.py``). Without a GPU all runs on the CPU with smaller amounts, and what needs a GPU says so.

Every part runs in a process of its own with a time limit, so that none can spoil another; ``gpu_parts.py`` has them. A
part compares things in one run, which take turns. The tables, and the last line as JSON, have one row a comparison.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from gpu_parts import PARTS, Amounts, Measured
from stand_ins import stand_in

IN_ALL = 290.0
"""Seconds for all parts."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", choices=[*PARTS])
    given = parser.parse_args()
    if given.part:
        work_on(given.part, given.device)
        return
    end = time.monotonic() + IN_ALL
    print(machine(given.device), flush=True)
    report: dict[str, object] = {"machine": machine(given.device)}
    for name, (_, seconds) in PARTS.items():
        began = time.monotonic()
        report[name] = run_alone(name, given.device, min(seconds, end - began))
        print(f"({time.monotonic() - began:.0f} s)", flush=True)
    text = json.dumps(report)
    print(f"JSON: {text}")
    if given.out:
        given.out.write_text(text)


def work_on(part: str, device: str) -> None:
    """Do a part in this process; prints every row as soon as it is measured, as JSON."""
    stand_in()
    work, _ = PARTS[part]
    amounts = Amounts.small() if device == "cpu" else Amounts()
    for row in work(device, amounts):
        print(json.dumps(asdict(row)), flush=True)


def run_alone(part: str, device: str, seconds: float) -> dict[str, object]:
    """Do a part in a process that is ended when its time is over; what it has measured until then counts."""
    print(f"\n{part}", flush=True)
    command = [sys.executable, __file__, "--part", part, "--device", device]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        printed, errors = process.communicate(timeout=max(seconds, 1))
        problem = errors.strip().splitlines()[-1:] if process.returncode else []
    except subprocess.TimeoutExpired:
        process.kill()
        printed, errors = process.communicate()
        problem = [f"ended after {seconds:.0f} s"]
    rows = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    for row in rows:
        print(Measured(**row).line())
    for line in problem:
        print(f"  not measured: {line}")
    if len(errors.splitlines()) > 1:
        print(errors[-1500:])
    return {"rows": rows, "problem": problem}


def machine(device: str) -> str:
    name = torch.cuda.get_device_name(device) if device != "cpu" else "CPU"
    cuda = f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}" if device != "cpu" else ""
    return f"{name}, PyTorch {torch.__version__}{cuda}, Python {sys.version.split()[0]}"


if __name__ == "__main__":
    main()
