"""Fixtures of the command line's tests: a small world to refine, and ways to run ``bpr`` in it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from bpr_cli.cli.main import main
from tests.cli.resumable import MAKERS, NAMES, make_masks
from tests.cli.worlds import MASK, REPOSITORY, SIZE, Bpr, Outcome
from tests.formats.format_builders import photo, png


@pytest.fixture(autouse=True)
def no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is that of a plain file, whatever colours and widths the tests' own environment asks for."""
    for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "TERMINAL_WIDTH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: three photographs in ``images`` and a disc for each in ``masks``."""
    folder = tmp_path / "world"
    for name in "abc":
        photo(folder / "images" / f"{name}.png", SIZE)
        png(folder / "masks" / f"{name}.png", MASK.astype("uint8") * 255)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def photos(world: Path) -> None:
    """The images of what ``resumable`` makes."""
    for name in NAMES:
        photo(world / f"photos/{name}.png", SIZE)


@pytest.fixture(params=MAKERS)
def arguments(request: pytest.FixtureRequest, photos: None, world: Path) -> tuple[str, ...]:
    """What to refine, in every format."""
    return MAKERS[request.param](world)


@pytest.fixture
def masks(photos: None, world: Path) -> tuple[str, ...]:
    """What to refine, as binary masks."""
    return make_masks(world)


@pytest.fixture
def bpr(capsys: pytest.CaptureFixture[str]) -> Bpr:
    """Run ``bpr`` in this process."""

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(int(stop.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def refine(world: Path, bpr: Bpr, random_weights: Path) -> Bpr:
    """Run ``bpr refine`` in the world, with the random weights unless others are given."""

    def run(*arguments: str | Path) -> Outcome:
        chosen = () if "--weights" in arguments else ("--weights", random_weights)
        return bpr("refine", *arguments, *chosen)

    return run


@pytest.fixture
def start(world: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start ``python -m bpr_cli`` in the world and a session of its own, with no environment but what is given."""

    def run(
        *arguments: str | Path,
        program: tuple[str, ...] = ("-m", "bpr_cli"),
        stdout: int | IO[str] = subprocess.PIPE,
        **environment: str,
    ):
        return subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
            cwd=world,
            env={
                "PYTHONPATH": str(REPOSITORY),
                "OMP_NUM_THREADS": "1",
                "PYTHONIOENCODING": "utf-8",
                "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"],
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
            # Tests that run in the background are told to ignore Ctrl-C, which what they start must not be.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )

    return run


@pytest.fixture
def started(start) -> Bpr:
    """Run ``python -m bpr_cli`` to its end."""

    def run(*arguments: str | Path, **options) -> Outcome:
        with start(*arguments, **options) as process:
            out, err = process.communicate(timeout=120)
        return Outcome(process.returncode, out, err)

    return run
