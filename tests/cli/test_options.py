"""Options made from settings classes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer

from bpr_cli.cli.command import Command
from bpr_cli.cli.options import command_of
from bpr_cli.errors import BprError
from bpr_cli.settings import Count, Fraction, Settings, option


@dataclass(frozen=True)
class BlurSettings(Settings):
    radius: Annotated[Count, option("Radius in pixels", panel="Shape", flags=("--radius", "-r"))] = 3
    share: Annotated[Fraction, option("Share of the image", metavar="SHARE")] = 0.5
    kernel: Annotated[Literal["box", "gauss"], option("Form of the kernel")] = "gauss"
    keep: Annotated[bool, option("Keep the original")] = False
    padded: Annotated[bool, option("Pad the image")] = True
    flip: Annotated[bool | None, option("Flip the image (default: as it is)")] = None
    scales: Annotated[tuple[Fraction, ...] | None, option("Scale of each pass, e.g. 1,0.5")] = None
    labels: Annotated[frozenset[int], option("Label to blur; may be repeated", flags=("--label",))] = frozenset({255})
    masks: Annotated[tuple[Path, ...], option("Mask file; may be repeated", flags=("--mask",))] = ()
    steps: Annotated[tuple[int, ...] | None, option("Step; may be repeated", flags=("--step",), repeated=True)] = None
    sizes: Annotated[tuple[int, ...], option("Sizes, e.g. 1,2")] = ()
    inner: int = 7


@pytest.fixture
def blur(capsys):
    """Run a command that takes these settings; gives them, or its help text."""
    seen = []

    def command(
        image: Path,
        settings: BlurSettings,
        loud: bool,
        notes: Annotated[list[str] | None, typer.Option("--note", "-n", help="Note to keep")] = None,
    ) -> None:
        """Blur an image."""
        assert (image, loud) == (Path("a.png"), True)
        assert notes in (None, [], ["x", "y"])
        seen.append(settings)

    app = typer.Typer(add_completion=False)
    app.command(cls=Command)(command_of(command, fixed={"loud": True}))

    def run(*arguments):
        app(arguments, standalone_mode=False)
        return seen.pop() if seen else capsys.readouterr().out

    return run


def test_what_is_not_given_has_the_default_of_the_class(blur):
    assert blur("a.png") == BlurSettings()


def test_every_kind_of_field(blur):
    given = blur(
        *("a.png", "-r", "5", "--share", "0.25", "--kernel", "box", "--keep", "--no-padded", "--flip"),
        *("--scales", "1,0.5", "--label", "1", "--label", "2", "--mask", "m.png", "--step", "3", "--sizes", "4,5"),
        *("-n", "x", "--note", "y"),
    )
    assert given == BlurSettings(
        radius=5,
        share=0.25,
        kernel="box",
        keep=True,
        padded=False,
        flip=True,
        scales=(1.0, 0.5),
        labels=frozenset({1, 2}),
        masks=(Path("m.png"),),
        steps=(3,),
        sizes=(4, 5),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--radius", "0"), "--radius is 0; expected a whole number of 1 or more"),
        (("--kernel", "cone"), "--kernel is 'cone'; expected one of box, gauss"),
        (("--scales", "1,a"), "--scales is '1,a'; expected numbers such as 2,1"),
        (("--sizes", "1.5"), "--sizes is '1.5'; expected whole numbers such as 1,2,3"),
    ],
)
def test_wrong_values_are_refused_in_a_sentence(blur, arguments, message):
    with pytest.raises(BprError) as refused:
        blur("a.png", *arguments)
    assert str(refused.value) == message


def test_the_help_text(blur):
    lines = [" ".join(line.split()) for line in blur("--help").splitlines()]
    for line in (
        "-r, --radius NUMBER Radius in pixels (default: 3)",
        "--share SHARE Share of the image (default: 0.5)",
        "--kernel box|gauss Form of the kernel (default: gauss)",
        "--keep Keep the original",
        "--padded / --no-padded Pad the image (default: --padded)",
        "--flip / --no-flip Flip the image (default: as it is)",
        "--scales NUMBERS Scale of each pass, e.g. 1,0.5",
        "--label NUMBER Label to blur; may be repeated (default: 255)",
        "--mask PATH Mask file; may be repeated",
        "Shape:",
    ):
        assert line in lines
    assert not any("inner" in line or "loud" in line for line in lines)
