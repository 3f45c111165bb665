"""Wrong usage of the command line: one sentence that names the option as it is typed, and nothing is written."""

import pytest

from bpr_cli.cli.app import COMMANDS
from tests.cli.worlds import tree

REFINE = ("refine", "masks", "--images", "images", "--out", "out")
EVALUATE = ("evaluate", "masks", "--ground-truth", "masks")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("refine",), "PREDICTIONS is missing (A directory, a JSON file or a single mask); see bpr refine --help"),
        (
            ("refine", "masks", "--images", "images"),
            "--out is missing (Output directory, created if missing, or file, replaced if it exists); see bpr refine "
            "--help",
        ),
        ((*REFINE, "--batch-size", "many"), "--batch-size is 'many'; expected a whole number of 1 or more"),
        ((*REFINE, "--batch-size", "1.5"), "--batch-size is '1.5'; expected a whole number of 1 or more"),
        ((*REFINE, "--nms-threshold", "1"), "--nms-threshold is 1.0; expected a number from 0 to below 1"),
        ((*REFINE, "--ignore-label", "a"), "--ignore-label is 'a'; expected a whole number"),
        (
            (*REFINE, "--scales", "9"),
            "--scales is (9.0,); expected a list of 1 to 8 values, each a number from 0.25 to 8",
        ),
        (
            (*REFINE, "--nms-treshold", "0.5"),
            "there is no option --nms-treshold; did you mean --nms-threshold? See bpr refine --help",
        ),
        ((*REFINE, "--flp"), "there is no option --flp; did you mean --flip? See bpr refine --help"),
        ((*REFINE, "-x"), "there is no option -x; check its spelling; see bpr refine --help"),
        ((*REFINE, "--format"), "option '--format' requires an argument; see bpr refine --help"),
        (
            (*REFINE, "more", "and more"),
            "bpr refine takes one PREDICTIONS, but found also more, and more; give a directory for several files, and "
            "quote names with spaces; see bpr refine --help",
        ),
        (("demo", "pictures"), "bpr demo takes no argument, but found pictures; see bpr demo --help"),
        (("refin",), "'refin' is no command of bpr; did you mean refine? See bpr --help"),
        (
            ("mask.png", "--images", "images"),
            f"'mask.png' is no command of bpr; expected one of {', '.join(COMMANDS)}; see bpr --help",
        ),
        (("weights", "shw"), "'shw' is no command of bpr weights; did you mean show? See bpr weights --help"),
        (
            ("extract", "masks", "--workers", "0"),
            "--images is missing (Directory of the images: one for all PREDICTIONS, or one for each); "
            "see bpr extract --help",
        ),
        (
            ("weights", "start", "a.pth", "b.safetensors", "--seed", "-1"),
            "--seed is -1; expected a whole number of 0 or more",
        ),
    ],
)
def test_wrong_usage_is_one_sentence(arguments, sentence, world, bpr):
    before = tree(world)
    outcome = bpr(*arguments)
    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"error: {sentence}\n")
    assert tree(world) == before


TWICE = [
    (EVALUATE, ("--images", "a"), "--images"),
    (EVALUATE, ("-i", "a"), "--images"),
    (REFINE, ("--weights", "fast"), "--weights"),
    (REFINE, ("--batch-size", "1"), "--batch-size"),
    (REFINE, ("--scales", "1"), "--scales"),
    (("weights", "convert", "fast", "new.pth"), ("--name", "a"), "--name"),
]


@pytest.mark.parametrize(("command", "option", "name"), TWICE, ids=lambda value: value[0])
def test_an_option_that_takes_one_value_is_refused_twice(command, option, name, world, bpr):
    outcome = bpr(*command, *option, name, "b")
    assert outcome.code == 2
    (said,) = outcome.errors
    assert said.startswith(f"{name} was given 2 times, but it takes one value; give it once; see bpr {command[0]} ")


def test_switches_that_exclude_each_other(world, bpr):
    outcome = bpr(*REFINE, "--flip", "--no-flip")
    assert outcome.errors == ["--flip or --no-flip was given 2 times; give one of them once; see bpr refine --help"]


def test_a_switch_and_an_option_for_several_values_may_be_repeated(world, bpr):
    outcome = bpr("check", "masks", "--images", "nowhere", "--json", "--json", "--ignore-label", 1, "--ignore-label", 2)
    assert outcome.errors == ["nowhere does not exist, expected a directory of images or one image; check --images"]
