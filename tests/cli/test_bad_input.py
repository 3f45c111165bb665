"""Every bad input: one sentence that names the file, exit code 2, and nothing is written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.cli.worlds import INFO, MASK, SMALL, record, says, tree
from tests.formats.format_builders import disc, panoptic_png, png, save


def nothing(world: Path) -> None:
    """The world as it is."""


@dataclass(frozen=True)
class Bad:
    """A bad input.

    Attributes:
        name: what is bad.
        sentence: what the user is told; ``[..]`` stands for what a decoder or the system says.
        arguments: what is changed or added on the command line.
        make: puts the bad files into the world.
    """

    name: str
    sentence: str
    predictions: str = "masks"
    images: str = "images"
    out: str = "out"
    more: str = ""
    make: Callable[[Path], object] = nothing

    @property
    def arguments(self) -> list[str]:
        return [self.predictions, "--images", self.images, "--out", self.out, *self.more.split()]


def text(name: str, content: str = "hello\n") -> Callable[[Path], object]:
    def write(world: Path) -> None:
        path = world / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return write


def document(name: str, content: object) -> Callable[[Path], object]:
    return lambda world: save(world / name, content)


def results(*records: object) -> Callable[[Path], object]:
    """``r.json`` with these records, and ``info.json``."""
    return lambda world: (save(world / "r.json", list(records)), save(world / "info.json", INFO))


def cut_short(name: str) -> Callable[[Path], object]:
    """The only prediction is a PNG file whose end is missing."""

    def write(world: Path) -> None:
        whole = (world / "masks/b.png").read_bytes()
        (world / "cut").mkdir()
        (world / "cut" / name).write_bytes(whole[: len(whole) // 2])

    return write


def one_mask(folder: str, values: np.ndarray) -> Callable[[Path], object]:
    return lambda world: png(world / folder / "a.png", values)


def panoptic(segment_id: int) -> Callable[[Path], object]:
    """A PNG file of segment 7, whose JSON file knows another one."""

    def write(world: Path) -> None:
        panoptic_png(world / "pan/a.png", MASK.astype(int) * 7)
        annotation = {"image_id": 1, "file_name": "a.png", "segments_info": [{"id": segment_id, "category_id": 1}]}
        save(world / "pan.json", {"annotations": [annotation]})

    return write


GARBAGE_RLE = record(2, segmentation={"size": [80, 96], "counts": [5, 5]})
COLOURS = np.random.default_rng(0).integers(0, 2, (80, 96, 3)).astype(np.uint8) * 255
NOT_RESULTS = (
    "expected COCO results (objects with image_id and segmentation), "
    "panoptic results (annotations with segments_info) or labelme files (shapes)"
)
FULL_SIZE = "give the image the prediction was made for, at its full resolution, or enlarge the prediction to its size"
INFO_OPTION = "--image-info info.json"

PREDICTIONS = [
    Bad("missing", "nix does not exist, expected a file or directory of predictions; check the path", "nix"),
    Bad(
        "empty directory",
        "empty is an empty directory, expected predictions in it",
        "empty",
        make=lambda world: (world / "empty").mkdir(),
    ),
    Bad(
        "a text",
        "notes.txt is a .txt file, expected COCO, panoptic or labelme JSON, PNG masks or label maps, YOLO polygons, or "
        "Cityscapes result files; convert masks to PNG files",
        "notes.txt",
        make=text("notes.txt"),
    ),
    Bad(
        "a directory of texts",
        "notes holds a.txt, expected COCO, panoptic or labelme JSON, PNG masks or label maps, YOLO polygons, or "
        "Cityscapes result files; convert masks to PNG files",
        "notes",
        make=text("notes/a.txt"),
    ),
    Bad("a mask that is no image", "mask.png is not a PNG file", "mask.png", make=text("mask.png")),
    Bad(
        "an empty mask file",
        "mask.png is empty (0 bytes), expected a PNG file; write it again",
        "mask.png",
        make=text("mask.png", ""),
    ),
    Bad(
        "a truncated mask",
        "cut/b.png is truncated or damaged ([..]), expected a PNG file; copy or export it again",
        "cut",
        make=cut_short("b.png"),
    ),
    Bad(
        "a coloured mask",
        "rgb/a.png holds colours, expected one channel: masks and label maps must be single-channel PNG files with a "
        "value, not a colour, for every label",
        "rgb",
        make=one_mask("rgb", COLOURS),
    ),
    Bad(
        "a mask of another size",
        "the prediction a.png does not fit images/a.png: the image is 96 x 80 pixels but the mask 32 x 24; "
        f"{FULL_SIZE}",
        "small",
        make=one_mask("small", SMALL.astype(np.uint8) * 255),
    ),
    Bad(
        "a label map of another size",
        "the prediction a.png does not fit images/a.png: the image is 96 x 80 pixels but the [..] 32 x 24; "
        f"{FULL_SIZE}",
        "small",
        make=one_mask("small", SMALL.astype(np.uint8) * 3 + 1),
    ),
    Bad(
        "a mask without image",
        "no image called 'a' in others (1 image); names there look like z.png; check --images, or say with "
        "--image-pattern how images are called",
        "only",
        "others",
        make=lambda world: (png(world / "only/a.png", MASK), png(world / "others/z.png", MASK)),
    ),
    Bad(
        "invalid JSON",
        "r.json is not valid JSON ([..]); it may be truncated; write it again",
        "r.json",
        make=text("r.json", '[{"image_id": 1, '),
    ),
    Bad("empty JSON", "r.json is empty, expected JSON; write the predictions again", "r.json", make=text("r.json", "")),
    Bad(
        "JSON that is not results",
        f"r.json holds an object with the fields epochs, model, {NOT_RESULTS}",
        "r.json",
        make=document("r.json", {"model": "m", "epochs": 3}),
    ),
    Bad(
        "JSON of numbers",
        f"r.json holds a list of int values, {NOT_RESULTS}",
        "r.json",
        make=document("r.json", [1, 2]),
    ),
    Bad(
        "an unknown image id",
        "r.json: record 0 has the unknown image id 9, expected one of the ids in the images list; check --image-info",
        "r.json",
        more=INFO_OPTION,
        make=results(record(9)),
    ),
    Bad(
        "an image id that is no file name",
        "no image called '9' in images (3 images); names there look like a.png; check --images"
        ", or say with --image-pattern how images are called, or name the images with --image-info",
        "r.json",
        make=results(record(9)),
    ),
    Bad(
        "a run-length encoding that does not add up",
        "r.json: record 0 of image 2 is broken: its counts do not add up to its size 80 x 96; correct the record or "
        "remove it",
        "r.json",
        more=INFO_OPTION,
        make=results(GARBAGE_RLE),
    ),
    Bad(
        "a run-length encoding of another size",
        f"the prediction 2 does not fit images/b.png: the image is 96 x 80 pixels but the mask 32 x 24; {FULL_SIZE}",
        "r.json",
        more=INFO_OPTION,
        make=results(record(2, disc())),
    ),
    Bad(
        "a result file whose mask is missing",
        "cs/a_pred.txt, line 1: the mask cs/m.png does not exist",
        "cs",
        make=text("cs/a_pred.txt", "m.png 24 0.5\n"),
    ),
    Bad(
        "a result file of something else",
        "cs/a_pred.txt, line 1: found 'hello', expected 'mask.png labelID score'",
        "cs",
        make=text("cs/a_pred.txt"),
    ),
    Bad(
        "a result file that leads out",
        "cs/a_pred.txt, line 1: '../masks/a.png' leads out of the prediction directory cs; move the file inside it",
        "cs",
        make=text("cs/a_pred.txt", "../masks/a.png 24 0.5\n"),
    ),
    Bad(
        "panoptic files that disagree",
        "pan/a.png and pan.json disagree: the PNG file has the ids 7 without a segment; "
        "the segments 5 have no pixels in the PNG file",
        "pan.json",
        make=panoptic(5),
    ),
]

IMAGES = [
    Bad(
        "missing",
        "nix does not exist, expected a directory of images or one image; check --images",
        images="nix",
    ),
    Bad(
        "empty directory",
        "empty holds no image, expected .png, .jpg, .jpeg, .jfif, .tif, .tiff, .webp, .bmp files; check --images",
        images="empty",
        make=lambda world: (world / "empty").mkdir(),
    ),
    Bad(
        "an image that is none",
        "notes.txt is not a PNG, JPEG, TIFF, WebP or BMP image",
        "masks/a.png",
        "notes.txt",
        make=text("notes.txt"),
    ),
    Bad(
        "a corrupt image",
        "photo.jpg is not a PNG, JPEG, TIFF, WebP or BMP image",
        "masks/a.png",
        "photo.jpg",
        make=lambda world: (world / "photo.jpg").write_bytes(b"\xff\xd8\xff" + bytes(range(200))),
    ),
    Bad(
        "a truncated image",
        "cut/a.png is truncated or damaged ([..]), expected a PNG, JPEG, TIFF, WebP or BMP image; "
        "copy or export it again",
        "masks/a.png",
        "cut/a.png",
        make=cut_short("a.png"),
    ),
    Bad(
        "a missing list of images",
        "nix.json is not a file, expected a JSON file with an 'images' list; check --image-info",
        "r.json",
        more="--image-info nix.json",
        make=results(record(1)),
    ),
    Bad(
        "a list of images that is none",
        "r.json holds a list of objects with the fields category_id, image_id, score, segmentation, expected an object "
        "with an 'images' list of id and file_name; check --image-info",
        "r.json",
        more="--image-info r.json",
        make=results(record(1)),
    ),
]

OVERWRITE = "the output {} would overwrite {}, which is an input; give another --out"

OUTPUTS = [
    Bad("the predictions", OVERWRITE.format("masks", "masks"), out="masks"),
    Bad("the predictions, said otherwise", OVERWRITE.format("[..]", "masks"), out="images/../masks"),
    Bad("the images", OVERWRITE.format("images", "images"), out="images"),
    Bad("the mask", OVERWRITE.format("masks/a.png", "masks/a.png"), "masks/a.png", "images/a.png", "masks/a.png"),
    Bad("the directory of the mask", OVERWRITE.format("masks", "masks/a.png"), "masks/a.png", "images/a.png", "masks"),
    Bad("the image", OVERWRITE.format("images/a.png", "images/a.png"), "masks/a.png", "images/a.png", "images/a.png"),
    Bad("one of the images", OVERWRITE.format("images/a.png", "images/a.png"), "masks/a.png", out="images/a.png"),
    Bad(
        "a directory among the images",
        OVERWRITE.format("data/val", "data/val/a.png"),
        images="data",
        out="data/val",
        make=lambda world: [png(world / f"data/val/{name}.png", COLOURS) for name in "abc"],
    ),
    Bad(
        "the directory of results",
        OVERWRITE.format(".", "r.json"),
        "r.json",
        out=".",
        more=INFO_OPTION,
        make=results(record(1)),
    ),
    Bad(
        "the directory of the panoptic JSON",
        OVERWRITE.format(".", "pan.json"),
        "pan",
        out=".",
        make=panoptic(7),
    ),
    Bad(
        "inside the predictions",
        "the output masks/refined lies inside the predictions masks; give an --out outside of them",
        out="masks/refined",
    ),
    Bad(
        "a file for a directory",
        "the output notes.txt is a file, but refining a directory needs a directory; give another --out",
        out="notes.txt",
        make=text("notes.txt"),
    ),
    Bad(
        "a file of another kind",
        "the output notes.txt is not a .json file like r.json; give a name that ends in .json, or a directory",
        "r.json",
        out="notes.txt",
        more=INFO_OPTION,
        make=lambda world: (text("notes.txt")(world), results(record(1))(world)),
    ),
    Bad(
        "a name of another format",
        "the output refined.jpg is not a .png file like masks/a.png; give a name that ends in .png, or a directory",
        "masks/a.png",
        out="refined.jpg",
    ),
    Bad(
        "below a file",
        "the output notes.txt/deep/out cannot be made, because notes.txt is not a directory; give another --out",
        out="notes.txt/deep/out",
        make=text("notes.txt"),
    ),
]

WEIGHTS = [
    Bad("missing", "there are no weights 'nix': there is no such file, and [..]", more="--weights nix"),
    Bad("a folder", "there are no weights 'masks': that is a folder, and [..]", more="--weights masks"),
    Bad(
        "of another kind",
        "the weights w.onnx cannot be used: expected a name that ends in .safetensors (written by bpr) or in .pth or "
        ".pt (a checkpoint in MMSegmentation layout)",
        more="--weights w.onnx",
        make=text("w.onnx"),
    ),
    Bad(
        "garbage",
        "the weights w.safetensors cannot be used: it is not a complete safetensors file ([..]); "
        "copy or download it again",
        more="--weights w.safetensors",
        make=text("w.safetensors"),
    ),
    Bad(
        "a garbage checkpoint",
        "the weights w.pth cannot be used: it is damaged or holds Python objects, [..]",
        more="--weights w.pth",
        make=text("w.pth"),
    ),
]

SETTINGS = [
    Bad(
        "format of other files",
        "masks holds no JSON file, expected exactly one with the predictions",
        more="--format coco",
    ),
    Bad(
        "task of other files",
        "masks holds instance predictions (format masks), but the requested task is panoptic; "
        "omit the task or check the path",
        more="--task panoptic",
    ),
    Bad(
        "device",
        "device is 'gpu'; expected auto, cpu, cuda, GPUs by number such as cuda:0 or cuda:0,1, or mps",
        more="--device gpu",
    ),
    Bad(
        "device that is not there",
        "device is 'cuda:99', but PyTorch sees [..]; use --device cpu, or install a CUDA build of PyTorch and check "
        "the driver",
        more="--device cuda:99",
    ),
    Bad(
        "format",
        "--format is 'voc'; expected one of coco, cityscapes, labels, panoptic, masks, yolo, labelme, objects, tiff",
        more="--format voc",
    ),
    Bad("task", "--task is 'depth'; expected one of instance, semantic, panoptic", more="--task depth"),
    Bad("precision", "--precision is '8'; expected one of float32, bfloat16, float16, int8", more="--precision 8"),
    Bad("batch size", "--batch-size is 0; expected a whole number of 1 or more", more="--batch-size 0"),
    Bad("workers", "--workers is -1; expected a whole number of 1 or more", more="--workers -1"),
    Bad("scheme", "--scheme is 'all'; expected one of dense, grid, instance", more="--scheme all"),
    Bad("words for scales", "--scales is 'a,b'; expected numbers such as 2,1", more="--scales a,b"),
    Bad(
        "tiny scale",
        "--scales is (0.1,); expected a list of 1 to 8 values, each a number from 0.25 to 8",
        more="--scales 0.1",
    ),
    *(
        Bad(
            f"overlap {value}",
            f"--nms-threshold is {value}; expected a number from 0 to below 1",
            more=f"--nms-threshold {value}",
        )
        for value in ("1.0", "-0.1", "nan")
    ),
]


def named(cases: list[Bad]) -> object:
    return pytest.mark.parametrize("bad", [pytest.param(case, id=case.name) for case in cases])


def check(bad: Bad, world: Path, refine) -> None:
    bad.make(world)
    before = tree(world)
    outcome = refine(*bad.arguments)
    assert len(outcome.errors) == 1, outcome.err
    assert says(outcome.errors[0], bad.sentence), outcome.errors[0]
    assert (outcome.code, outcome.out) == (2, "")
    assert "Traceback" not in outcome.err
    assert tree(world) == before


@named(PREDICTIONS)
def test_bad_predictions(bad, world, refine):
    check(bad, world, refine)


@named(IMAGES)
def test_bad_images(bad, world, refine):
    check(bad, world, refine)


@named(OUTPUTS)
def test_bad_outputs(bad, world, refine):
    check(bad, world, refine)


@named(WEIGHTS)
def test_bad_weights(bad, world, refine):
    check(bad, world, refine)


@named(SETTINGS)
def test_bad_settings(bad, world, refine):
    check(bad, world, refine)


def test_weights_of_another_network(world, refine):
    import torch

    torch.save({"state_dict": {"backbone.conv1.weight": torch.zeros(64, 3, 7, 7)}}, world / "resnet.pth")
    check(
        Bad(
            "",
            "the weights resnet.pth cannot be used: its tensors do not fit the network hrnet18s: 872 missing ([..]",
            more="--weights resnet.pth",
        ),
        world,
        refine,
    )


def test_an_output_that_may_not_be_written(world, refine, monkeypatch):
    # Pretended, because an administrator may write everywhere.
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).resolve() != world)
    sentence = "the output new/out cannot be written: no permission to write to .; give another --out"
    check(Bad("", sentence, out="new/out"), world, refine)


@pytest.mark.parametrize("name", ["[red]x[/red]", "[/]", "a:bomb:b", "x" * 200, "ärger ネコ"])
def test_file_names_are_shown_as_they_are(name, world, refine):
    outcome = refine(name, "--images", "images", "--out", "out")
    assert outcome.errors == [f"{name} does not exist, expected a file or directory of predictions; check the path"]


@pytest.mark.parametrize(
    ("name", "shown"), [("new\nline", r"new\nline"), ("\x1b[31m", r"\x1b[31m"), ("\udcff", r"\udcff")]
)
def test_file_names_cannot_command_the_terminal(name, shown, world, refine):
    outcome = refine(name, "--images", "images", "--out", "out")
    assert (
        outcome.err == f"error: {shown} does not exist, expected a file or directory of predictions; check the path\n"
    )
