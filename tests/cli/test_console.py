"""Tables on terminals of any width: no number is broken, and text folds before figures do."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bpr_cli.cli.console import table_of

COLUMNS = ("", "AP", "AP50", "boundary AP", "AF")
ROWS = [
    ("potted plant", "50.0 (-10.0)", "100.0 (+0.0)", "0.0 (-100.0)", "21.3 (+9.1)"),
    ("refrigerator", "-", "-", "-", "-"),
    ("traffic light", "5.0 (+1.0)", "7.5 (+0.0)", "0.5 (+0.1)", "1.3 (+0.1)"),
]


def drawn(columns, rows, width):
    out = io.StringIO()
    table = table_of(columns, rows, width)
    Console(file=out, width=200).print(table, width=table.width)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_wide_terminal_shows_every_cell_on_one_line_in_a_frame():
    assert drawn(COLUMNS, ROWS, 80) == [
        "┏━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┳━━━━━━━━━━━━━┓",
        "┃               ┃           AP ┃         AP50 ┃  boundary AP ┃          AF ┃",
        "┡━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━╇━━━━━━━━━━━━━┩",
        "│ potted plant  │ 50.0 (-10.0) │ 100.0 (+0.0) │ 0.0 (-100.0) │ 21.3 (+9.1) │",
        "│ refrigerator  │            - │            - │            - │           - │",
        "│ traffic light │   5.0 (+1.0) │   7.5 (+0.0) │   0.5 (+0.1) │  1.3 (+0.1) │",
        "└───────────────┴──────────────┴──────────────┴──────────────┴─────────────┘",
    ]


def test_names_fold_before_figures():
    lines = drawn(COLUMNS, ROWS, 75)
    assert "│ traffic      │   5.0 (+1.0) │   7.5 (+0.0) │   0.5 (+0.1) │  1.3 (+0.1) │" in lines
    assert max(map(len, lines)) <= 75


def test_figures_fold_between_words():
    assert drawn(COLUMNS, ROWS, 46) == [
        "                            boundary",
        "                  AP   AP50       AP     AF",
        "potted plant    50.0  100.0      0.0   21.3",
        "             (-10.0) (+0.0) (-100.0) (+9.1)",
        "refrigerator       -      -        -      -",
        "traffic          5.0    7.5      0.5    1.3",
        "light         (+1.0) (+0.0)   (+0.1) (+0.1)",
    ]


NUMBER = st.one_of(st.just("-"), st.builds("{:.1f} ({:+.1f})".format, st.floats(0, 100), st.floats(-100, 100)))


@given(
    st.lists(st.tuples(st.text("abc xyz", min_size=1, max_size=30), NUMBER, NUMBER, NUMBER), min_size=1, max_size=4),
    st.integers(10, 120),
)
def test_no_number_is_broken_on_any_width(rows, width):
    text = " ".join(drawn(("class", "one", "two", "boundary three"), rows, width))
    words = text.replace("│", " ").split()
    for cell in (cell for row in rows for cell in row[1:]):
        assert set(cell.split()) <= set(words)


@pytest.mark.parametrize("width", [80, 60])
def test_text_columns_are_aligned_left_and_keep_their_words(width):
    lines = drawn(("", "size", "licence"), [("fast", "7.2 MB", "research and non-commercial use only " * 3)], width)
    assert max(map(len, lines)) <= width
    assert any(line.startswith("│ fast │ 7.2 MB │ research and non-commercial") for line in lines)
