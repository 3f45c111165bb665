"""Why a refinement moved almost nothing."""

import pytest

from bpr_cli.refinement.image import RefinementStats
from bpr_cli.refinement.stillness import reason_for_stillness

MOVED = RefinementStats(segments=4, patches=40, changed=500, boundary_length=1000, area=40_000)


def stats(**changes):
    return RefinementStats(**{**vars(MOVED), "changed": 3, **changes})


@pytest.mark.parametrize(
    ("found", "core", "said"),
    [
        (RefinementStats(), 1, "the predictions hold no segments, or all pixels are void"),
        (RefinementStats(segments=3), 1, "all 3 masks are empty"),
        (RefinementStats(segments=1), 1, "the mask is empty"),
        (stats(patches=0, boundary_length=0, changed=0), 1, "no segment has a boundary inside its image"),
        (
            stats(kept_coarse=4),
            1,
            "moved by 0.003 px on average, which is almost nothing: 4 of 4",
        ),
        (stats(kept_coarse=2), 1, "2 of 4 segments exceeded a limit and were kept coarse"),
        (stats(kept_coarse=1), 0, "--core 0 keeps nearly all pixels of a mask"),
        (stats(area=100), 0.2, "the segments are tiny, 25 pixels on average"),
        (stats(), 0.2, "the boundaries already agree with the images, or the weights do not suit them"),
    ],
)
def test_the_reason(found, core, said):
    assert said in (reason_for_stillness(found, core) or "")


def test_a_refinement_that_moved_boundaries_needs_no_note():
    assert reason_for_stillness(MOVED, 1) is None
