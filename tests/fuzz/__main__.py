"""Fuzz one target, guided by coverage: ``python -m tests.fuzz "evaluate coco" --minutes 60``.

Needs atheris: ``pip install '.[fuzz]'``. Stops at the first finding and keeps its input under ``--findings``, beside
the corpus; ``--replay FILE`` runs that input again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

SLOWEST = 100
"""Seconds of one input after which foreign code is taken to hang."""

MEMORY = 6000
"""MiB that the process may take, PyTorch included."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="name of a target; an unknown one lists them")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--replay", type=Path, help="input that was found before")
    given = parser.parse_args()
    warnings.simplefilter("ignore")

    import atheris

    with atheris.instrument_imports(include=["bpr_cli"]):
        from tests.fuzz.harness import SEPARATOR, Harness
        from tests.fuzz.targets import TARGETS

    if given.target not in TARGETS:
        parser.error(f"the targets are {', '.join(TARGETS)}")
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(TARGETS[given.target], Path(folder))
        if given.replay:
            harness.run(given.replay.read_bytes())
            return
        corpus = given.findings / given.target.replace(" ", "-")
        corpus.mkdir(parents=True, exist_ok=True)
        seed = SEPARATOR.join(harness.valid.values())
        (corpus / "valid").write_bytes(seed)
        options = {
            "max_total_time": round(60 * given.minutes),
            "max_len": 2 * len(seed),
            "len_control": 0,
            "timeout": SLOWEST,
            "rss_limit_mb": MEMORY,
            "artifact_prefix": f"{given.findings}/",
        }
        atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus)], harness.run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
