"""The report in a real browser: sorting, slider and keyboard work, nothing complains, nothing is fetched."""

from dataclasses import replace

import pytest

from bpr_cli.evaluation.report.html import render_html
from bpr_cli.evaluation.report.model import Row
from tests.browser import Browser, find_browser
from tests.evaluation.report.report_cases import EMPTY, full, layers, score, without_baseline

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed")

HOSTILE = "<script>document.title='owned'</script>\"><img src=https://example.com/x.png onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser, tmp_path):
    """Write a report, open it, and hold it to what holds for every report once the test is over."""

    def show(report, read=lambda _: layers(), **options):
        path = tmp_path / "report.html"
        path.write_text(render_html(report, read), encoding="utf-8")
        browser.open(path, **options)
        return browser

    yield show
    assert browser.complaints() == []
    assert browser.requests() == [(tmp_path / "report.html").as_uri()]


def names(page):
    return page.run("[...document.querySelectorAll('#class-table tbody tr')].map(row => row.cells[0].textContent)")


def heading(page, label, action):
    return page.run(
        "[...document.querySelectorAll('#class-table thead button')]"
        f".find(button => button.textContent.trim() === '{label}'){action}"
    )


def sorting(page):
    return page.run(
        "[...document.querySelectorAll('#class-table th[aria-sort]')]"
        ".map(th => [th.textContent.trim(), th.getAttribute('aria-sort')])"
    )


def test_a_click_on_a_heading_sorts_and_another_turns_the_order_round(page):
    page = page(full())
    assert names(page) == ["road", "sky", "pole", "bridge", "car"]
    heading(page, "IoU after", ".click()")
    assert names(page) == ["sky", "road", "car", "pole", "bridge"]
    assert sorting(page) == [["IoU after", "descending"]]
    heading(page, "IoU after", ".click()")
    assert names(page) == ["pole", "car", "road", "sky", "bridge"]
    assert sorting(page) == [["IoU after", "ascending"]]


@pytest.mark.parametrize(("key", "text"), [("Enter", "\r"), (" ", " ")])
def test_the_keyboard_sorts_differences_by_their_sign_and_what_is_missing_stays_last(page, key, text):
    page = page(full())
    heading(page, "boundary F diff.", ".focus()")
    page.press(key, text=text)
    assert names(page) == ["pole", "road", "sky", "bridge", "car"]
    page.press(key, text=text)
    assert names(page) == ["sky", "road", "pole", "bridge", "car"]


def test_names_sort_from_a_to_z_first(page):
    page = page(full())
    heading(page, "class", ".click()")
    assert names(page) == ["bridge", "car", "pole", "road", "sky"]
    assert sorting(page) == [["class", "ascending"]]


def test_columns_are_found_where_kinds_stand_before_the_figures(page):
    kinds = tuple(
        replace(row, kind="thing" if row.name in ("car", "pole") else "stuff") for row in full("panoptic").classes
    )
    page = page(replace(full("panoptic"), classes=kinds))
    heading(page, "IoU before", ".click()")
    assert names(page) == ["sky", "road", "pole", "bridge", "car"]


def test_classes_by_size_are_sorted_apart_from_the_classes(page):
    page = page(full())
    page.run("document.querySelector('#class-size-table thead th.number button').click()")
    rows = "[...document.querySelectorAll('#class-size-table tbody tr')].map(row => row.cells[0].textContent)"
    assert page.run(rows) == ["road", "pole"]
    page.run("document.querySelectorAll('#class-size-table thead th.number button')[1].click()")
    assert page.run(rows) == ["pole", "road"]
    assert names(page) == ["road", "sky", "pole", "bridge", "car"]


def test_long_tables_can_be_searched(page):
    page = page(replace(full(), classes=tuple(Row(f"class {n}", full().classes[0].metrics) for n in range(30))))
    page.run("document.querySelector('#classes .find input').focus()")
    page.send("Input.insertText", text="CLASS 29")
    shown = "[...document.querySelectorAll('#class-table tbody tr')].filter(row => !row.hidden).length"
    assert page.run(shown) == 1


def listed(page):
    return page.run(
        "[...document.querySelectorAll('#image-table tbody tr')].filter(row => !row.hidden)"
        ".map(row => row.cells[0].textContent)"
    )


def test_images_are_found_by_their_class_and_their_name(page):
    page = page(full())
    assert listed(page) == ["a.png", "b.png", "c.png"]
    choose = (
        "(s => {{ s.value = '{}'; s.dispatchEvent(new Event('change')); }})(document.querySelector('#images select'))"
    )
    page.run(choose.format(0))
    assert listed(page) == ["a.png"]
    page.run("document.querySelector('#images input').focus()")
    page.send("Input.insertText", text="B.PNG")
    assert listed(page) == []
    page.run(choose.format(""))
    assert listed(page) == ["b.png"]


def test_images_can_be_sorted(page):
    page = page(full())
    page.run("document.querySelectorAll('#image-table th button')[3].click()")
    assert listed(page) == ["a.png", "c.png", "b.png"]


@pytest.mark.parametrize(("link", "target"), [("#image-table a", "gains-1"), (".scatter a", "segment-gains-1")])
def test_rows_and_dots_lead_to_pictures(page, link, target):
    page = page(full())
    page.run(f"document.querySelector('{link}').dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
    assert page.run("location.hash") == f"#{target}"
    assert page.run("document.querySelector(location.hash + ' img') !== null")


def test_places_are_framed_where_they_are_in_the_picture(page):
    page = page(full(), read=lambda _: layers(size=(300, 400)))
    box = "(({x, y, width, height}) => [x, y, width, height])(document.querySelector('%s').getBoundingClientRect())"
    picture, place = (page.run(box % name) for name in ("#gains .right .whole img", "#gains .right .whole .place"))
    assert place[2:] == pytest.approx([picture[2] * 64 / 400, picture[3] * 64 / 300], abs=1)
    assert picture[0] <= place[0] <= place[0] + place[2] <= picture[0] + picture[2] + 1
    badges = "[...document.querySelectorAll('#gains .right .badge')].map(badge => badge.textContent)"
    numbers = page.run(badges)
    assert numbers[: len(numbers) // 2] == numbers[len(numbers) // 2 :]


def test_any_two_of_four_sets_can_be_compared(page):
    page = page(full(), read=lambda _: layers(baselines=2))
    assert page.run("document.querySelectorAll('#gains .pairs input').length") == 6
    labels = "[...document.querySelectorAll('#gains .pairs label')]"
    page.run(f"{labels}.find(each => each.textContent.includes('after and baseline 2')).click()")
    assert page.run("document.querySelector('#gains .ends').textContent") == "afterbaseline 2"


def cut(page):
    return page.run("document.querySelector('.live .views').style.getPropertyValue('--cut')")


def test_the_arrow_keys_move_the_slider_and_it_says_where_it_is(page):
    page = page(full())
    page.run("document.querySelector('.live .slider').focus()")
    assert cut(page) == "50%"
    page.press("ArrowRight")
    assert cut(page) == "51%"
    page.press("End")
    assert cut(page) == "100%"
    page.press("Home")
    assert cut(page) == "0%"
    spoken = page.run("document.querySelector('.live .slider').getAttribute('aria-valuetext')")
    assert spoken == "0 % before, 100 % after"
    clip = page.run("getComputedStyle(document.querySelector('.live .left img')).clipPath")
    assert clip.startswith("inset(0px 100% 0px 0px") or clip.startswith("inset(0px calc(100%")


def test_the_picture_itself_can_be_dragged(page):
    page = page(full())
    page.run("document.querySelector('.live .whole').scrollIntoView({block: 'center', behavior: 'instant'})")
    x, y, width, height = page.run(
        "(({x, y, width, height}) => [x, y, width, height])"
        "(document.querySelector('.live .whole').getBoundingClientRect())"
    )
    page.drag((x + width / 2, y + height / 2), (x + width / 4, y + height / 2))
    assert cut(page) == "25%"


@pytest.mark.parametrize("size", [(60, 200), (150, 200), (300, 100)])
def test_the_slider_is_as_wide_as_the_picture_right_below_it(page, size):
    page = page(full(), read=lambda _: layers(size=size))
    sides = "({left, width, top, bottom}) => [left, width, top, bottom]"
    box = f"({sides})(document.querySelector('%s').getBoundingClientRect())"
    whole, slider = (page.run(box % name) for name in ("#gains .whole", "#gains .slider"))
    assert slider[:2] == pytest.approx(whole[:2], abs=1)
    assert 0 <= slider[2] - whole[3] < 40
    assert whole[3] - whole[2] < 900


def test_the_keyboard_opens_the_largest_changes(page):
    page = page(full())
    table = "document.querySelector('.changes table').checkVisibility()"
    assert not page.run(table)
    page.run("document.querySelector('.changes summary').focus()")
    page.press("Enter", text="\r")
    assert page.run(table)


def test_any_two_of_the_three_can_be_compared(page):
    page = page(full())
    label = (
        "[...document.querySelectorAll('#gains .pairs label')].find(each => each.textContent.includes('{}')).click()"
    )
    page.run(label.format("after and ground truth"))
    shown = "[...document.querySelectorAll('#gains .view')].map(v => [v.dataset.label, getComputedStyle(v).display])"
    assert page.run(shown) == [["before", "none"], ["after", "block"], ["ground truth", "block"]]
    assert page.run("document.querySelector('#gains .ends').textContent") == "afterground truth"


def test_sliders_of_two_images_are_independent(page):
    page = page(full())
    page.run("document.querySelector('#losses .slider').focus()")
    page.press("End")
    assert cut(page) == "50%"
    page.run("[...document.querySelectorAll('#losses .pairs input')].at(-1).click()")
    assert page.run("document.querySelector('#gains .pairs input').checked")


def test_without_scripts_everything_is_there_to_be_read(page):
    page = page(full(), scripts=False)
    shown = "[...document.querySelectorAll('#gains .view')].map(view => getComputedStyle(view).display)"
    assert page.run(shown) == ["block"] * 3
    assert page.run("document.querySelectorAll('button, input, .live').length") == 0
    assert page.run("getComputedStyle(document.querySelector('.script-only')).display") == "none"
    assert names(page) == ["road", "sky", "pole", "bridge", "car"]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(page, dark, width):
    page = page(full(), dark=dark, size=(width, 800))
    assert page.run("document.documentElement.scrollWidth") <= width


CONTRASTS = """
(() => {
  const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const channels = (colour) => {
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const linear = (v) => (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    const [r, g, b] = channels(colour).map((v) => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (channels(colour)[3] > 0) return colour;
    }
    return 'white';
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const poor = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest('script, title, desc')) continue;
    const style = getComputedStyle(element);
    const ink = light(element.closest('svg') ? style.fill : style.color);
    const paper = light(behind(element));
    const contrast = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
    if (contrast < 4.5) poor.push([walker.currentNode.data.trim(), contrast]);
  }
  return poor;
})()
"""


@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out_from_what_is_behind_it(page, dark):
    page = page(full(), dark=dark)
    assert page.run("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)"
    )
    assert page.run(CONTRASTS) == []


def test_every_control_has_a_name_and_every_picture_a_text(page):
    page = page(full())
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "slider", "radio", "image", "table", "region", "searchbox", "link")
    nameless = [
        node
        for node in tree
        if not node.get("ignored") and node["role"]["value"] in roles and not node.get("name", {}).get("value")
    ]
    assert nameless == []


def test_hostile_names_do_nothing(page):
    hostile = score(HOSTILE, 70.0, 60.0)
    report = full()
    report = replace(
        report,
        scores=(hostile,),
        gains=(hostile,),
        losses=(),
        classes=(Row(HOSTILE, report.classes[0].metrics), *report.classes),
        pairs=tuple(replace(pair, image=HOSTILE, category=HOSTILE) for pair in report.pairs),
        curves=tuple(replace(curve, name=HOSTILE) for curve in report.curves),
        settings={HOSTILE: HOSTILE},
        versions={HOSTILE: HOSTILE},
        inputs=tuple(replace(given, path=HOSTILE, format=HOSTILE) for given in report.inputs),
        failures=tuple(replace(failure, name=HOSTILE, reason=HOSTILE) for failure in report.failures),
        score_name=HOSTILE,
    )
    page = page(report)
    assert page.run("document.title") == "Semantic segmentation – bpr evaluate"
    assert page.run("document.scripts.length") == 1
    assert page.run("[...document.images].every(image => image.src.startsWith('data:'))")
    assert page.run("document.querySelector('#gains h3').textContent") == HOSTILE


@pytest.mark.parametrize(
    "report", [EMPTY, without_baseline(), replace(full(), gains=(), losses=(), classes=(), pairs=())]
)
def test_reports_that_lack_parts_open_without_complaint(page, report):
    page = page(report, read=lambda _: layers(baselines=0))
    broken = "[...document.querySelectorAll('nav a')].filter(a => !document.querySelector(a.hash)).length"
    assert page.run(broken) == 0
    assert "NaN" not in page.run("document.body.innerText")
