"""Scores as the terminal shows them."""

import pytest

from bpr_cli.cli.report_tables import signed


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.25, "+1.2"), (-1.26, "-1.3"), (0.0, "+0.0"), (-0.0, "+0.0"), (-0.04, "+0.0"), (-0.06, "-0.1"), (None, "-")],
)
def test_differences_have_a_sign_and_no_negative_zero(value: float | None, text: str) -> None:
    assert signed(value) == text
