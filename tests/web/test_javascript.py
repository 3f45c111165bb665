"""The JavaScript of the page decides as the Python does: boxes, patches, averages, limits, judge, in a real browser."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from bpr_cli.masks.masks import Mask
from bpr_cli.patches import paste
from bpr_cli.patches.boxes import NO_BOXES, boundary_pixels, dense_boxes, widened
from bpr_cli.patches.crop import Patches, crop
from bpr_cli.patches.paste import open_ends, reassemble
from bpr_cli.refinement import evidence, networks, outline
from bpr_cli.refinement import image as image_module
from bpr_cli.refinement.evidence import EVIDENCE, EVIDENCE_ON_ALL, MaskChanges
from bpr_cli.refinement.judgement import MaskJudges, changed_mask, judge_changes
from bpr_cli.refinement.limits import keep_interior, without_specks
from bpr_cli.refinement.refiner import Refiner
from bpr_cli.refinement.settings import RefineSettings, passes_of
from bpr_cli.web.page import FOLDER
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import LoadedWeights
from bpr_cli.weights.judge import LARGEST, Judge
from tests.browser import Browser, find_browser
from tests.inference.engines import blob, picture
from tests.refinement.judges import judge_of

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")

SIZES = [(60, 90), (17, 40), (1, 30), (33, 1), (128, 128)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page that holds the ported functions and nothing else."""
    path = tmp_path_factory.mktemp("page") / "ports.html"
    names = ("boxes", "crop", "paste", "limits", "judge", "refine", "files")
    scripts = "".join(f"<script>{(FOLDER / f'{name}.js').read_text('utf-8')}</script>" for name in names)
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8>{scripts}", encoding="utf-8")
    browser = Browser(tmp_path_factory.mktemp("profile"))
    browser.open(path)
    yield browser
    browser.close()


def js_mask(mask):
    return {"width": mask.shape[1], "height": mask.shape[0], "data": mask.astype(int).ravel().tolist()}


def js_image(image):
    rgba = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    return {"width": image.shape[1], "height": image.shape[0], "data": rgba.ravel().tolist()}


def call(page, body, **values):
    """Run the body of a function on values; masks, patches and images become bytes."""
    given = ";".join(f"const {name} = given({json.dumps(value)})" for name, value in values.items())
    bytes_of = "const given = (v) => v?.data ? {...v, data: Uint8Array.from(v.data)} : v"
    return page.run(f"(() => {{ {bytes_of}; {given}; {body} }})()")


def js_boxes(boxes):
    return [{"x": x0, "y": y0, "side": x1 - x0} for x0, y0, x1, _ in boxes.tolist()]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_boxes(page, size, seed):
    mask = blob(size, seed)
    for side, threshold, rim in ((16, 0.25, 0), (31, 0.55, 0), (64, 0.0, 0), (9, 0.0, 1), (16, 0.05, 3)):
        expected = dense_boxes(boundary_pixels(Mask.from_array(mask)), size, side, threshold, rim)
        body = "return denseBoxes(boundaryPixels(mask), mask, side, threshold, rim)"
        assert call(page, body, mask=js_mask(mask), side=side, threshold=threshold, rim=rim) == js_boxes(expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("side", "padding", "input_size"), [(16, 4, 32), (31, 8, 64), (32, 0, 32), (40, 12, 32), (20, 5, 64)]
)
def test_patches(page, size, side, padding, input_size):
    mask, image = blob(size, 1), cv2.GaussianBlur(picture(size), (0, 0), 2)
    boxes = dense_boxes(boundary_pixels(Mask.from_array(mask)), size, side, 0.25)
    expected = Patches.empty(len(boxes), input_size)
    crop(image, Mask.from_array(mask), boxes, padding, expected)
    found = call(
        page,
        "const p = cropPatches(image, mask, boxes, padding, input_size);"
        "return {image: Array.from(p.image), mask: Array.from(p.mask)}",
        image=js_image(image),
        mask=js_mask(mask),
        boxes=js_boxes(boxes),
        padding=padding,
        input_size=input_size,
    )
    np.testing.assert_array_equal(np.array(found["mask"]).reshape(expected.mask.shape), expected.mask)
    differences = np.abs(np.array(found["image"]).reshape(expected.image.shape) - expected.image.astype(int))
    assert differences.max(initial=0) <= 1  # OpenCV computes with fewer bits


def predicted(count):
    """Smooth probabilities of ``count`` patches of 16 pixels."""
    noise = np.random.default_rng(3).integers(0, 256, (count, 16, 16), np.uint8)
    return np.array([cv2.GaussianBlur(each, (0, 0), 3) for each in noise], np.uint8).reshape(-1, 16, 16)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rim", [0, 3])
@pytest.mark.parametrize("side", [16, 31])
def test_averages(page, size, side, rim):
    mask = blob(size, 2)
    boxes = widened(dense_boxes(boundary_pixels(Mask.from_array(mask)), size, side - 2 * rim, 0.55), rim)
    probabilities = predicted(len(boxes))
    expected = reassemble(Mask.from_array(mask), boxes, probabilities, rim).to_array()
    body = "return Array.from(reassemble(mask, boxes, probabilities.data, 16, rim).data)"
    values = {"boxes": js_boxes(boxes), "probabilities": {"data": probabilities.ravel().tolist()}, "rim": rim}
    found = np.array(call(page, body, mask=js_mask(mask), **values), bool)
    differing = (found.reshape(size) != expected).sum()
    assert differing == 0 if side == 16 else differing <= 0.02 * expected.size  # only resized ones are rounded


@pytest.mark.parametrize("size", [*SIZES, (90, 60)])
@pytest.mark.parametrize("rim", [0, 3])
def test_open_ends(page, size, rim):
    mask = blob(size, 2)
    every = widened(dense_boxes(boundary_pixels(Mask.from_array(mask)), size, 16 - 2 * rim, 0.25), rim)
    boxes = every[: max(len(every) // 2, 1)]
    if not len(boxes):
        return
    probabilities = predicted(len(boxes))
    expected = open_ends(Mask.from_array(mask), boxes, probabilities, rim)
    body = "return openEnds(mask, boxes, probabilities.data, 16, rim)"
    values = {"boxes": js_boxes(boxes), "probabilities": {"data": probabilities.ravel().tolist()}, "rim": rim}
    assert call(page, body, mask=js_mask(mask), **values) == (expected.y * size[1] + expected.x).tolist()


def test_a_mask_never_loses_all_its_pixels(page):
    mask = blob((20, 20))
    body = "return Array.from(reassemble(mask, [{x: 0, y: 0, side: 20}], new Uint8Array(400), 20, 0).data)"
    assert call(page, body, mask=js_mask(mask)) == mask.astype(int).ravel().tolist()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("least", [0, 1, 4, 25, 400])
def test_specks(page, size, least):
    coarse = blob(size, 4)
    refined = blob(size, 5) ^ (np.random.default_rng(least).random(size) > 0.9)
    expected = without_specks(Mask.from_array(coarse), Mask.from_array(refined), least).to_array()
    body = "return Array.from(withoutSpecks(coarse, refined, least).data)"
    found = call(page, body, coarse=js_mask(coarse), refined=js_mask(refined), least=least)
    np.testing.assert_array_equal(np.array(found, bool).reshape(size), expected)


LONG = (1400, 60)
"""Size of an image whose mask is so long that it is judged in a smaller picture."""


def changed(size):
    """An image, its coarse mask, another mask of many changes, and patches along the coarse one."""
    coarse, refined = blob(size, 2), blob(size, 1) ^ (np.random.default_rng(9).random(size) > 0.97)
    if size == LONG:
        coarse[:, 20:40], refined[:, 22:45] = True, True
    refined[0, 0] = True
    mask, rim = Mask.from_array(coarse), 3
    boxes = widened(dense_boxes(boundary_pixels(mask), size, 10, 0.25), rim)
    along = outline.Outline(mask, boxes, 0, rim, 0.625, False, 10.0, [predicted(len(boxes))])
    return cv2.GaussianBlur(picture(size), (0, 0), 2), mask, Mask.from_array(refined), along


def js_changed(image, coarse, refined, along):
    return {
        "image": js_image(image),
        "coarse": js_mask(coarse.to_array()),
        "refined": js_mask(refined.to_array()),
        "outline": {"boxes": js_boxes(along.boxes), "rim": along.rim, "scale": along.scale},
        "probabilities": {"data": along.probabilities().ravel().tolist()},
    }


@pytest.mark.parametrize("size", [*SIZES, (200, 150), LONG])
@pytest.mark.parametrize("patches", [True, False])
def test_evidence(page, size, patches):
    image, coarse, refined, along = changed(size)
    if not patches:
        along = replace(along, boxes=along.boxes[:0], predicted=[])
    expected, _ = changed_mask(image, coarse, refined, along)
    assert expected.factor == (3 if size == LONG else 1)
    body = """
      const box = boxAround(coarse, refined);
      const found = changedMask(image, coarse, refined, box, {...outline, probabilities: probabilities.data}, 16);
      const pixels = found.changes.map((each) => each.pixels);
      return {probability: Array.from(found.probability), pixels, evidence: evidenceOf(found)};
    """
    found = call(page, body, **js_changed(image, coarse, refined, along))
    assert found["probability"] == expected.probability.ravel().tolist()
    # The changes may be numbered in another order.
    numbers = [np.unique(expected.changes.ravel()[pixels]).item() - 1 for pixels in found["pixels"]]
    assert sorted(numbers) == list(range(len(expected.areas)))
    np.testing.assert_allclose(found["evidence"], expected.evidence()[numbers], rtol=1e-12, atol=1e-12)


def random_judge(known, seed):
    """A judge that takes back about half of the changes whose evidence is known."""
    random = np.random.default_rng(seed)
    first, offset, second = (random.normal(size=each) for each in ((known.shape[1], 8), 8, 8))
    return Judge(known.mean(0), known.std(0) + 0.1, first, offset, second, np.zeros(1))


def rounded(judge, inputs):
    """A judge as a card holds it."""
    return Judge.of(judge.numbers(), inputs)


@pytest.mark.parametrize("size", [*SIZES, (200, 150), LONG])
def test_the_judge(page, size):
    case, some_stay = changed(size), 0
    for seed in range(4):
        numbers = random_judge(changed_mask(*case)[0].evidence(), seed).numbers()
        expected = judge_changes(*case, MaskJudges(Judge.of(numbers, EVIDENCE))).mask.to_array()
        found = judged(page, case, numbers)
        np.testing.assert_array_equal(found, expected)
        some_stay += all((found != mask.to_array()).any() for mask in case[1:3])
    assert some_stay > 1 or min(size) == 1  # of a line, all changes stay or go


@pytest.mark.parametrize("size", [*SIZES, (200, 150), LONG])
def test_the_final_judge(page, size):
    """The judge of changes lets all of them stay; the numbers of the final one are drawn."""
    case, decided = changed(size), set()
    judge, changes = judge_of(0, 1), MaskChanges.of(changed_mask(*case)[0])
    chances, kept = judge.chances(changes.evidence), np.ones(len(changes.areas), bool)
    known = changes.on_all(chances, kept, *changes.likely_ious(chances, kept))
    for seed in range(8):
        final = rounded(random_judge(np.stack([known - 1, known + 2]), seed), EVIDENCE_ON_ALL)
        wanted = judge_changes(*case, MaskJudges(judge, final)).mask.to_array()
        decided.add((wanted == case[1].to_array()).all().item())
        np.testing.assert_array_equal(judged(page, case, judge.numbers(), final.numbers()), wanted)
    assert len(decided) == 2


def judged(page, case, numbers, final=()):
    body = """
      const card = {patch_size: 10, rim: 3, judge, final_judge: final};
      const along = {...outline, probabilities: probabilities.data};
      return Array.from(judgeChanges(image, coarse, refined, along, card).data);
    """
    return np.array(call(page, body, judge=numbers, final=final, **js_changed(*case)), bool).reshape(case[1].size)


def test_a_judge_leaves_a_pixel(page):
    """Disjoint masks: what joins is refused, and what leaves may leave, which would empty the mask."""
    coarse, refined = np.zeros((2, 40, 44), bool)
    coarse[3:9, 3:9], refined[20:30, 20:30] = True, True
    judge = judge_of(-2, 1)
    masks = Mask.from_array(coarse), Mask.from_array(refined)
    along = outline.Outline(masks[0], NO_BOXES, 0, 3, 1.0, False, 10.0)
    case = (picture(coarse.shape), *masks, along)
    assert (judge_changes(*case, MaskJudges(judge)).mask.to_array() == coarse).all()
    assert (judged(page, case, judge.numbers()) == coarse).all()


class Reddish(nn.Module):
    """Takes pixels with much red for foreground."""

    def forward(self, x):
        return torch.stack([-x[:, 0], x[:, 0]], dim=1) * 4


def some_judge():
    """A judge that takes back what leaves a mask."""
    return judge_of(2, -1).numbers()


CARDS = {
    "plain": {"min_patch_size": 20},
    "rim": {"rim": 6},
    "follow": {"rim": 4, "follow": True, "core": 0.15},
    "view": {"view": 64, "rim": 4, "min_part": 30, "nms_threshold": 0.05},
    "passes": {"scales": (2.0, 1.0), "min_movement": 0.5, "min_part": 9},
    "still": {"min_movement": 60.0},
    "judge": {"judge": some_judge(), "min_patch_size": 20},
    "judge and passes": {"judge": some_judge(), "scales": (2.0, 1.0), "rim": 4, "follow": True, "min_part": 9},
}


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("size", [(150, 190), (40, 300)])
def test_every_kind_of_card(name, size, page, monkeypatch):
    card = WeightsCard("red", "unet-s", patch_size=32, padding=16, input_size=64, **CARDS[name])
    weights = LoadedWeights(Reddish(), card, "0" * 64, Path("red.safetensors"))
    monkeypatch.setattr(networks, "load_weights", lambda _: weights)
    image, mask = cv2.GaussianBlur(picture(size, 7), (0, 0), 9), blob(size, 8)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    how = RefineSettings(device="cpu", backend="pytorch", workers=1)
    expected = np.asarray(Refiner(how).refine(image, mask))
    unjudged = np.asarray(Refiner(replace(how, judge=False)).refine(image, mask))
    # The network in JavaScript: red over 255, normalised, then its sigmoid, in the middle of the patch.
    body = """
      const inner = (patches) => {
        const size = outputSizeOf(card), begin = (64 - size) / 2, out = new Uint8Array(patches.count * size * size);
        for (let i = 0; i < out.length; i++) {
          const p = Math.floor(i / size / size), y = Math.floor(i / size) % size + begin, x = i % size + begin;
          const red = (patches.image[((p * 64 + y) * 64 + x) * 3] - card.mean[0]) / card.std[0];
          out[i] = roundHalfEven(255 / (1 + Math.exp(-8 * red)));
        }
        return out;
      };
      const network = [async (patches) => inner(patches), async (patches) => inner(patches)];
      return refineMask(image, mask, card, network).then((result) => [Array.from(result.mask.data), result.patches]);
    """
    found, patches = call(page, body, image=js_image(image), mask=js_mask(mask), card=json.loads(card.to_json()))
    found = np.array(found, bool).reshape(size)
    assert patches > 3
    assert (found != expected).sum() <= 0.01 * max((expected != mask).sum(), 1)
    assert (name == "still") == (expected == mask).all()
    assert ("judge" in name) == (expected != unjudged).any()  # so that some changes stay, and some go


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("core", [0.0, 0.1, 0.2, 0.4, 1.0])
def test_the_interior(page, size, core):
    coarse = blob(size, 4)
    refined = coarse & blob(size, 5)
    expected = keep_interior(Mask.from_array(coarse), Mask.from_array(refined), core).to_array()
    body = "return Array.from(keepInterior(coarse, refined, core).data)"
    found = call(page, body, coarse=js_mask(coarse), refined=js_mask(refined), core=core)
    np.testing.assert_array_equal(np.array(found, bool).reshape(size), expected)


@pytest.mark.parametrize(
    "card",
    [
        WeightsCard("a", "unet-s", patch_size=64, min_patch_size=32, padding=16, input_size=128),
        WeightsCard(
            *("b", "unet-s"),
            patch_size=33,
            padding=15,
            rim=5,
            nms_threshold=0.1,
            view=200,
            input_size=128,
            scales=(2.5, 1.5, 1.0),
        ),
    ],
)
def test_passes(page, card):
    expected = passes_of(card, RefineSettings())
    found = call(page, "return passesOf(card)", card=json.loads(card.to_json()))
    names = {
        "patchSize": "patch_size",
        "minPatchSize": "min_patch_size",
        "padding": "padding",
        "preliminary": "preliminary",
        "rim": "rim",
        "nmsThreshold": "nms_threshold",
        "view": "view",
    }
    assert found == [{mine: asdict(each)[its] for mine, its in names.items()} for each in expected]
    for area in (1, 80, 900, 4000, 10_000, 10**6):
        body = (
            "const mask = {width: area, height: 1, data: new Uint8Array(area).fill(1)};"
            "return passesOf(card).map((pass) => sideAlong(mask, pass))"
        )
        sides = [each.side_along(area, area) for each in expected]
        assert call(page, body, area=area, card=json.loads(card.to_json())) == sides


def test_rules_are_those_of_python(page):
    rules = (
        (image_module.FOLLOW_ROUNDS, "FOLLOW_ROUNDS"),
        (outline.FEWEST_ENDS, "FEWEST_ENDS"),
        (outline.LEAST_ENLARGEMENT, "LEAST_ENLARGEMENT"),
        (paste.FULL_WEIGHT, "FULL_WEIGHT"),
        (paste.REACH, "REACH"),
        (paste.CERTAIN, "CERTAIN"),
        (evidence.MARGIN, "MARGIN"),
        (evidence.NEIGHBOURHOOD, "NEIGHBOURHOOD"),
        (evidence.SMOOTHING, "SMOOTHING"),
        (list(evidence.DISTANCES), "DISTANCES"),
        (list(evidence.BACKWARD_DISTANCES), "BACKWARD_DISTANCES"),
        (evidence.SMALLEST_GAIN, "SMALLEST_GAIN"),
        (EVIDENCE, "EVIDENCE"),
        (EVIDENCE_ON_ALL, "EVIDENCE_ON_ALL"),
        (LARGEST, "LARGEST"),
    )
    assert {name: page.run(name) for _, name in rules} == {name: value for value, name in rules}


@pytest.mark.parametrize(("value", "rounded"), [(0.5, 0), (1.5, 2), (2.5, 2), (2.4, 2), (7.6, 8), (15.5, 16)])
def test_halves_are_rounded_as_python_does(page, value, rounded):
    assert page.run(f"roundHalfEven({value})") == rounded == round(value)


def rgba_of(values, alpha=None):
    rgb = np.repeat(np.array(values, np.uint8)[..., None], 3, axis=-1)
    full = np.full(rgb.shape[:2], 255, np.uint8) if alpha is None else np.array(alpha, np.uint8)
    return {"width": rgb.shape[1], "height": rgb.shape[0], "data": np.dstack([rgb, full]).ravel().tolist()}


@pytest.mark.parametrize(
    ("pixels", "mask", "reading"),
    [
        (rgba_of([[0, 1, 1]]), [0, 1, 1], "its brightness has two values"),
        (rgba_of([[0, 255, 0]]), [0, 1, 0], "its brightness has two values"),
        (rgba_of([[0, 127, 128]]), [0, 0, 1], "its brightness is soft: values above 127.5 are foreground"),
        (rgba_of([[9, 9, 9]], [[0, 255, 255]]), [0, 1, 1], "its opacity has two values"),
    ],
)
def test_what_a_mask_file_means(page, pixels, mask, reading):
    found = call(page, "const r = maskOf(pixels); return [Array.from(r.mask.data), r.reading]", pixels=pixels)
    assert found == [mask, reading]


def test_the_downloaded_file_is_a_gray_png(page, tmp_path):
    mask = blob((37, 53), 6)
    body = "return pngOf(mask).then(b => b.arrayBuffer()).then(b => Array.from(new Uint8Array(b)))"
    (tmp_path / "mask.png").write_bytes(bytes(call(page, body, mask=js_mask(mask))))
    read = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read, mask.astype(np.uint8) * 255)
