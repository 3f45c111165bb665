"""The page in a real browser: it refines as ``bpr refine`` does, by file, brush and keyboard, and fetches nothing."""

import base64
import json
import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

import bpr_cli
from bpr_cli.errors import BprError
from bpr_cli.inference.export import NEEDED
from bpr_cli.refinement.refiner import Refiner
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.web.page import write_page
from bpr_cli.web.runtime import load_runtime
from tests.browser import Browser, find_browser

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")

PHOTOS = Path(bpr_cli.__file__).parent / "demo/data"
RUNTIME = "BPR_ONNXRUNTIME_WEB"
"""Names the npm package onnxruntime-web where npm cannot download it."""
DECIDED_ALIKE = 0.999
PHONE = (360, 740)
CONTROL = 2
"""The control key, in the protocol of the browser."""


@pytest.fixture(scope="session")
def runtime(tmp_path_factory):
    """The folder of ONNX Runtime Web."""
    for package in NEEDED["onnx"]:
        pytest.importorskip(package)
    given = os.environ.get(RUNTIME)
    try:
        loaded = load_runtime(Path(given) if given else None)
    except BprError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("onnxruntime-web")
    (folder / "dist").mkdir()
    (folder / "dist/ort.wasm.bundle.min.mjs").write_bytes(loaded.script)
    (folder / "dist/ort-wasm-simd-threaded.wasm").write_bytes(loaded.wasm)
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory, runtime):
    """Pages by the name of their weights."""
    pages = {}

    def write(weights):
        if weights not in pages:
            pages[weights] = write_page(weights, tmp_path_factory.mktemp(weights), runtime)
        return pages[weights]

    return write


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser, written):
    """Open the page, and hold it to what always holds once the test is over."""

    def show(weights="fast", **options):
        browser.open(written(weights), **options)
        return browser

    yield show
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith("blob:")] == [browser.run("location.href")]


def first_mask(name):
    """The first predicted mask of a photograph of the demo."""
    images = json.loads((PHOTOS / "image_info.json").read_text())["images"]
    number = next(each["id"] for each in images if each["file_name"] == name)
    records = json.loads((PHOTOS / "predictions.json").read_text())
    return coco_mask.decode(next(each["segmentation"] for each in records if each["image_id"] == number)).astype(bool)


@pytest.fixture
def vase(tmp_path):
    """A photograph and its mask, as files and as arrays."""
    image, mask = cv2.imread(str(PHOTOS / "vase.jpg")), first_mask("vase.jpg")
    cv2.imwrite(str(tmp_path / "vase.png"), image)
    cv2.imwrite(str(tmp_path / "vase_mask.png"), mask.astype(np.uint8) * 255)
    return tmp_path / "vase.png", tmp_path / "vase_mask.png", image[:, :, ::-1], mask


def refined(page):
    """Press the key, wait, and read the file that would be downloaded."""
    page.press("r", text="r")
    deadline = time.monotonic() + 120
    while page.run("state.busy"):
        assert time.monotonic() < deadline, "the refinement does not end"
        time.sleep(0.1)
    assert page.run("document.getElementById('status').textContent") == "Done."
    content = page.run(
        "pngOf(state.refined).then(b => b.arrayBuffer())"
        ".then(b => btoa(Array.from(new Uint8Array(b), each => String.fromCharCode(each)).join('')))"
    )
    return cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_UNCHANGED) > 0


def status(page):
    return page.run("document.getElementById('status').textContent")


@pytest.mark.parametrize(
    ("weights", "ending"), [("fast", ".png"), ("fast", ".jpg"), pytest.param("best", ".png", marks=pytest.mark.slow)]
)
def test_masks_are_refined_as_bpr_refine_does(weights, ending, page, vase):
    photo, mask_file, image, mask = vase
    page = page(weights)
    page.choose("#image-file", photo if ending == ".png" else PHOTOS / "vase.jpg", mask_file)
    page.wait_for("state.maskName !== ''")
    found = refined(page)
    settings = RefineSettings(weights=weights, backend="pytorch", device="cpu", workers=1)
    expected = np.asarray(Refiner(settings).refine(image, mask))
    assert (expected != mask).sum() > 200
    assert (found == expected).mean() >= DECIDED_ALIKE
    # Nearly all pixels keep their side, so count those that moved, too.
    assert (found != expected).sum() <= 0.02 * (expected != mask).sum()


def test_a_mask_is_painted_erased_and_cleared(page, vase):
    page = page()
    page.choose("#image-file", vase[0])
    page.wait_for("state.image !== null")
    page.run("document.getElementById('stage').scrollIntoView({behavior: 'instant'})")
    x, y = page.run("(({left, top}) => [left, top])(document.getElementById('mask').getBoundingClientRect())")
    area = "areaOf(paintedMask(document.getElementById('mask')))"
    page.drag((x + 100, y + 100), (x + 250, y + 100))
    painted = page.run(area)
    assert painted > 1000
    page.run("document.getElementById('erase').click()")
    page.drag((x + 100, y + 100), (x + 150, y + 100))
    assert 0 < page.run(area) < painted
    page.run("document.getElementById('undo').click()")
    assert page.run(area) == painted
    page.run("document.getElementById('clear').click()")
    assert page.run(area) == 0
    page.send(
        "Input.dispatchKeyEvent", type="keyDown", key="z", code="KeyZ", windowsVirtualKeyCode=90, modifiers=CONTROL
    )
    assert page.run(area) == painted
    page.run("document.getElementById('clear').click()")
    page.press("r", text="r")
    assert status(page) == "There is no mask yet: give its file, or paint a rough one."


def test_a_mask_is_painted_by_keyboard_and_refined(page, vase):
    page = page()
    page.choose("#image-file", vase[0])
    page.wait_for("state.image !== null")
    page.run("document.getElementById('mask').focus()")
    what = {"key": " ", "code": "Space", "windowsVirtualKeyCode": 32}
    page.send("Input.dispatchKeyEvent", type="keyDown", text=" ", **what)
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight"):
        page.press(key)
    page.send("Input.dispatchKeyEvent", type="keyUp", **what)
    painted = page.run("areaOf(paintedMask(document.getElementById('mask')))")
    page.press("ArrowLeft")
    assert page.run("areaOf(paintedMask(document.getElementById('mask')))") == painted > 100
    assert refined(page).any()
    before = page.run("document.querySelector('.views').style.getPropertyValue('--cut')")
    page.run("document.querySelector('.slider').focus()")
    page.press("ArrowRight")
    assert page.run("document.querySelector('.views').style.getPropertyValue('--cut')") != before
    result = page.run("areaOf(state.refined)")
    page.run("document.getElementById('go-on').click()")
    assert page.run("[areaOf(paintedMask(document.getElementById('mask'))), state.refined]") == [result, None]


def test_masks_of_another_size_and_other_files_are_refused(page, vase, tmp_path):
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((5, 7), np.uint8))
    (tmp_path / "notes.png").write_text("no image")
    page = page()
    page.choose("#image-file", vase[0])
    page.wait_for("state.image !== null")
    page.choose("#mask-file", tmp_path / "small.png")
    page.wait_for("document.getElementById('status').classList.contains('warning')")
    height, width = vase[3].shape
    assert status(page) == f"small.png has 7 x 5 pixels and the image {width} x {height}; both must have the same size."
    cv2.imwrite(str(tmp_path / "clear.png"), np.zeros((5, 7, 4), np.uint8))
    page.choose("#mask-file", tmp_path / "clear.png")
    page.wait_for("document.getElementById('status').textContent.startsWith('clear.png is fully transparent')")
    page.choose("#image-file", tmp_path / "notes.png")
    page.wait_for("document.getElementById('status').textContent.startsWith('notes.png is no image')")


def test_it_fits_a_phone(page, vase):
    page = page(size=PHONE)
    page.choose("#image-file", vase[0], vase[1])
    page.wait_for("state.maskName !== ''")
    refined(page)
    assert page.run("document.documentElement.scrollWidth") <= PHONE[0]
    heights = page.run("[...document.querySelectorAll('button, .file')].map(e => e.getBoundingClientRect().height)")
    assert min(heights) >= 40


@pytest.mark.parametrize(("dark", "paper"), [(False, "rgb(255, 255, 255)"), (True, "rgb(20, 23, 27)")])
def test_light_and_dark(dark, paper, page):
    assert page(dark=dark).run("getComputedStyle(document.body).backgroundColor") == paper


def test_every_control_has_a_name(page):
    tree = page().send("Accessibility.getFullAXTree")["nodes"]
    controls = [
        each for each in tree if each.get("role", {}).get("value") in ("button", "slider", "radio", "progressbar")
    ]
    assert all(each["name"]["value"] for each in controls if not each["ignored"])
