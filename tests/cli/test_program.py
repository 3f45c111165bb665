"""The program as it is started: help, version, terminals, interrupts, tracebacks, in a process of its own."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from bpr_cli import __version__
from bpr_cli.cli.app import COMMANDS
from bpr_cli.system.terminal import show_progress
from tests.cli.worlds import results

HELP = {
    ("--help",): [
        "Usage: bpr [OPTIONS] COMMAND",
        "refine",
        "demo",
        "--debug",
        "Exit codes: 0 done, 1 some items failed",
    ],
    ("refine", "--help"): [
        "Usage: bpr refine [OPTIONS]",
        "  bpr refine mask.png --images photo.jpg --out refined.png",
        "--nms-threshold",
        "--debug",
    ],
    ("demo", "--help"): ["Usage: bpr demo [OPTIONS]", "  bpr demo --out demo/", "--weights"],
    ("weights", "--help"): ["Usage: bpr weights [OPTIONS] COMMAND", "list", "show", "convert", "check"],
    ("weights", "convert", "--help"): [
        "Usage: bpr weights convert [OPTIONS]",
        "  bpr weights convert trained.safetensors trained.pth",
        "--overwrite",
        "--input-size",
    ],
    ("--version",): [f"bpr {__version__}"],
}

SLOW = [
    "numpy",
    "cv2",
    "torch",
    "pycocotools",
    "PIL",
    "matplotlib",
    "jinja2",
    "safetensors",
    "pydantic",
    "rich.console",
]
"""Modules that help texts and completion must not wait for."""

IMPORTED = f"""
import atexit, sys
from bpr_cli.cli.main import main
atexit.register(lambda: print("imported:", *(name for name in {SLOW} if name in sys.modules), file=sys.stderr))
main()
"""


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_help_answers_at_once_without_home_or_terminal(arguments, started):
    outcome = started(*arguments, program=("-c", IMPORTED))
    assert outcome.code == 0
    assert outcome.err == "imported:\n"
    for text in HELP[arguments]:
        assert text in outcome.out
    assert "\x1b" not in outcome.out
    assert all(len(line) <= 80 for line in outcome.out.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_a_command_is_the_first_line_of_its_help(name, bpr):
    assert f"\n{COMMANDS[name]}.\n" in bpr(name, "--help").out
    assert f"  {name}  " in bpr("--help").out


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("bpr ref", ["refine"]),
        ("bpr weights s", ["show", "start"]),
        ("bpr refine masks --ima", ["--images", "--image-info", "--image-pattern"]),
        ("bpr refine masks --images images --scheme de", ["dense"]),
    ],
)
def test_a_shell_completes_at_once(typed, completed, started):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    outcome = started(program=("-c", IMPORTED), _BPR_COMPLETE="complete_bash", **words)
    assert outcome.err == "imported:\n"
    assert outcome.out.split() == completed


def test_a_short_name_for_help(bpr):
    assert bpr("refine", "-h").out == bpr("refine", "--help").out


@pytest.mark.parametrize("name", ["evaluate", "extract"])
def test_commands_that_refine_nothing_do_not_speak_of_it_as_their_own(name, bpr):
    described = bpr(name, "--help").out.partition("\n  --ids ")[2].partition("\n  --")[0]
    assert " ".join(described.split()).endswith("each of which is an instance (default: classes)")


def test_without_arguments_help_is_shown(bpr):
    outcome = bpr()
    assert outcome.code == 2
    assert "Usage: bpr [OPTIONS] COMMAND" in outcome.out


def test_examples_fit_the_line_and_can_be_copied(bpr):
    shown = bpr("refine", "--help").out
    examples = shown[shown.index("Examples:") :]
    assert "results.json --images val2017/ \\\n      --image-info instances_val2017.json --out refined/\n" in examples


def test_a_refinement_as_a_program(world, started, random_weights):
    (world / "masks").rename(world / "ネコ")
    arguments = ("refine", "ネコ", "--images", "images", "--out", "出", "--weights", random_weights, "--json")
    outcome = started(*arguments, HOME="/nowhere", PYTHONUTF8="1", PYTHONIOENCODING="ascii")
    assert outcome.code == 0
    assert (json.loads(outcome.out)["images"], json.loads(outcome.out)["output"]) == (3, "出")
    assert sorted(results(world / "出")) == ["a.png", "b.png", "c.png"]
    assert re.search(r"^refining 3/3(, [\d.]+ images/s, 0 s left)?$", outcome.err, re.MULTILINE)
    assert all(letter.isprintable() or letter == "\n" for letter in outcome.err)


def test_nobody_listens(world, refine, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    assert refine("masks", "--images", "images", "--out", "out", "--json").code == 0
    assert refine("nix", "--images", "images", "--out", "out", "--json").code == 2


def test_a_name_in_no_encoding(world, refine):
    name = os.fsdecode(b"\xff.png")
    (world / "masks/a.png").rename(world / name)
    outcome = refine(name, "--images", "images/a.png", "--out", "out", "--json")
    assert (outcome.code, json.loads(outcome.out)["output"]) == (0, "out")
    assert list(results(world / "out")) == [name]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--debug", "refine", "nix", "--images", "images", "--out", "out"],
        ["refine", "--debug", "nix", "--images", "images", "--out", "out"],
        ["refine", "nix", "--images", "images", "--out", "out", "--debug"],
        ["demo", "--debug", "--weights", "nix", "--out", "out"],
    ],
    ids=["first", "second", "last", "demo"],
)
def test_debug_shows_the_traceback_wherever_it_stands(arguments, world, bpr):
    outcome = bpr(*arguments)
    assert outcome.code == 2
    assert "Traceback (most recent call last)" in outcome.err
    assert "BprError" in outcome.err
    assert len(outcome.errors) == 1
    quiet = bpr(*(each for each in arguments if each != "--debug"))
    assert quiet.errors == outcome.errors
    assert "Traceback" not in quiet.err


def test_a_file_called_debug_is_no_switch(world, bpr):
    outcome = bpr("refine", "--images", "images", "--out", "out", "--", "--debug")
    assert outcome.errors == ["--debug does not exist, expected a file or directory of predictions; check the path"]
    assert "Traceback" not in outcome.err


def on_terminal(world, *arguments, **environment):
    """Run ``bpr`` on a terminal of 80 columns; gives what that was sent."""
    terminal, end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "bpr_cli", *map(str, arguments)],
        cwd=world,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "COLUMNS": "80", **environment},
        stdin=end,
        stdout=end,
        stderr=end,
    ):
        os.close(end)
        sent = b"".join(iter(lambda: read(terminal), b""))
    os.close(terminal)
    return sent.decode()


def read(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:  # how Linux says that the other end was closed
        return b""


COLOUR = re.compile(r"\x1b\[(\d+;)*(3\d|9\d)[;m]")


@pytest.mark.parametrize("arguments", [["refine", "nix", "--images", "images", "--out", "out"], ["--help"]], ids=len)
def test_colours_on_a_terminal_unless_unwanted(arguments, world):
    assert COLOUR.search(on_terminal(world, *arguments, TERM="xterm-256color"))
    assert not COLOUR.search(on_terminal(world, *arguments, TERM="xterm-256color", NO_COLOR="1"))
    assert "\x1b" not in on_terminal(world, *arguments, TERM="dumb")


def test_a_progress_bar_on_a_terminal(world, random_weights):
    arguments = ("refine", "masks", "--images", "images", "--out", "out", "--weights", random_weights)
    sent = on_terminal(world, *arguments, TERM="xterm-256color", NO_COLOR="1")
    bar = sent.split("->")[0]
    assert "━" * 10 in bar
    assert "3/3" in bar
    assert not COLOUR.search(sent)


def test_progress_as_lines_on_a_terminal_without_cursor(capsys, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with show_progress(True, "refining", 2) as advance:
        advance()
        advance()
    assert re.fullmatch(r"refining 2/2(, [\d.]+ images/s, 0 s left)?\n", capsys.readouterr().err)


@pytest.mark.parametrize("width", ["80", "60"])
@pytest.mark.parametrize("name", [(), *((name,) for name in COMMANDS), ("weights", "list"), ("weights", "convert")])
def test_help_is_worded_for_people(name, width, bpr, monkeypatch):
    monkeypatch.setenv("COLUMNS", width)
    lines = bpr(*name, "--help").out.splitlines()
    assert not re.search(r"<|\{[A-Z]|\b(FLOAT|INTEGER|BOOLEAN|DIRECTORY|RANGE)\b", "\n".join(lines))
    for line in lines:  # choices stand on one line
        assert not re.match(r"\s*\|", line)
        assert not line.endswith("|")
