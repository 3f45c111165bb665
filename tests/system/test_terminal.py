import sys
import types

import pytest

from bpr_cli.system.terminal import Pace, show_progress


def test_a_notebook_gets_a_bar_of_tqdm(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    with show_progress(True, "training", 4, "step", done=1) as advance:
        advance("loss 0.5")
        advance("loss 0.4")
    shown = capsys.readouterr().err
    assert "training" in shown
    assert "3/4" in shown
    assert "loss 0.4" in shown


@pytest.fixture
def now(monkeypatch):
    """The time that the pace sees."""
    now = [100.0]
    monkeypatch.setattr("bpr_cli.system.terminal.time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.25, "4.0 images/s, 0 s left"), (2.5, "2.5 s/image, 5 s left"), (90, "90.0 s/image, 180 s left")],
)
def test_slow_items_are_timed_each_and_resumed_ones_do_not_count(now, seconds, said):
    pace = Pace(total=7, unit="image", done=0)
    for _ in range(2):
        now[0] += 0.001
        pace.count(resumed=True)
        assert str(pace) == ""
    for _ in range(3):
        now[0] += seconds
        pace.count(resumed=False)
    assert (str(pace), pace.done) == (said, 5)


def test_a_late_first_item_does_not_count_and_nothing_is_said_until_it_is_outweighed(now):
    pace = Pace(total=10, unit="image", done=0)
    said = []
    for at in (106, 106, 107, 112, 114):
        now[0] = at
        pace.count(resumed=False)
        said.append(str(pace))
    assert said == ["", "", "", "2.0 s/image, 12 s left", "2.0 s/image, 10 s left"]


def test_a_run_that_only_resumes_shows_no_pace(capsys):
    with show_progress(True, "refining", 2) as advance:
        advance(resumed=True)
        advance(resumed=True)
    assert capsys.readouterr().err == "refining 2/2\n"
