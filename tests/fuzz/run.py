"""Runs the fuzzer for as long as is wanted: ``python tests/fuzz/run.py --minutes 60``.

The readers take turns. Executions and lines reached are printed for each; inputs that a reader fails at are kept in
the folder ``--findings`` with the traceback. Also a crash of the interpreter, or a reader that hangs in foreign code,
is a finding: the work is done in a process of its own.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

TURN = 10.0
"""Seconds that a reader has before it is another one's turn."""

HANGS = 300
"""Seconds after which foreign code is taken to hang."""

REPORT = 60.0
FOUND = 3
"""Exit code of a process whose readers failed, as Python itself ends with 1."""


def main() -> int:
    """Run processes until the time is over; a process that dies is a finding, and another one takes its place."""
    options = _options()
    end = time.time() + 60 * options.minutes
    seed, died = options.seed, 0
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        while time.time() < end:
            given = ["--until", str(end), "--seed", str(seed), "--findings", options.findings, "--work", work]
            done = subprocess.run([sys.executable, __file__, *given, *options.readers], check=False)
            if done.returncode in (0, FOUND):
                return 1 if died else done.returncode
            died, seed = died + 1, seed + 1
            place = Path(options.findings) / f"died-{seed}-{abs(done.returncode)}"
            shutil.copytree(work, place, symlinks=True, dirs_exist_ok=True, ignore=_pipes)
            print(f"FOUND a process that ended with {done.returncode}: {place}", flush=True)
            _empty(Path(work))
    return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", help="names of readers; all by default")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--findings", default="fuzz-findings")
    parser.add_argument("--work", help="folder for temporary files, best in memory")
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path)


def work() -> int:
    """Let the readers take turns until the time is over."""
    from tests.fuzz.fuzzing import Fuzzer
    from tests.fuzz.readers import READERS

    warnings.simplefilter("ignore")
    options = _options()
    fuzzers = []
    for number, reader in enumerate(READERS):
        if not options.readers or reader.name in options.readers:
            folder = Path(options.work) / reader.name.replace(" ", "-")
            folder.mkdir()
            fuzzers.append(Fuzzer(reader, options.seed * 100 + number, folder))
    found: Counter[str] = Counter()
    told = time.monotonic()
    while time.time() < options.until:
        for fuzzer in fuzzers:
            _turn(fuzzer, min(time.time() + TURN, options.until), found, Path(options.findings))
        if time.monotonic() - told > REPORT:
            told = time.monotonic()
            _tell(fuzzers, found)
    _tell(fuzzers, found)
    return FOUND if found else 0


def _turn(fuzzer, until: float, found: Counter[str], findings: Path) -> None:
    while time.time() < until:
        faulthandler.dump_traceback_later(HANGS, exit=True)
        finding = fuzzer.step()
        faulthandler.cancel_dump_traceback_later()
        if finding is None:
            continue
        what = f"{fuzzer.reader.name}: {finding.what}"
        found[what] += 1
        if found[what] == 1:
            place = findings / hashlib.sha256(what.encode()).hexdigest()[:12]
            shutil.copytree(fuzzer.input, place, symlinks=True, dirs_exist_ok=True, ignore=_pipes)
            (place / "finding.txt").write_text(f"{what}\n{finding.details}", "utf-8", "backslashreplace")
            print(f"FOUND {what}: {place}".encode("ascii", "backslashreplace").decode(), flush=True)


def _pipes(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_fifo()]


def _tell(fuzzers, found: Counter[str]) -> None:
    print(time.strftime("%H:%M:%S"), sum(fuzzer.executions for fuzzer in fuzzers), "executions", flush=True)
    for fuzzer in fuzzers:
        kept, lines = len(fuzzer.kept), len(fuzzer.lines)
        print(f"  {fuzzer.reader.name:22}{fuzzer.executions:9} executions {lines:6} lines {kept:4} kept", flush=True)
    print(f"  {len(found)} findings", flush=True)


if __name__ == "__main__":
    sys.exit(work() if "--until" in sys.argv else main())
