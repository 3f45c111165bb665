"""Masks without pixels."""

import numpy as np

from bpr_cli.refinement.job import refine
from tests.formats.format_builders import SIZE, disc, photo, png


def test_the_likely_iou_of_a_mask_without_pixels_is_that_of_a_miss(tmp_path):
    for name, mask in (("empty", np.zeros(SIZE, bool)), ("disc", disc(center=(12, 12), radius=6))):
        png(tmp_path / f"masks/{name}.png", mask.astype(np.uint8) * 255)
        photo(tmp_path / f"images/{name}.png", SIZE)
    summary = refine(tmp_path / "masks", images=tmp_path / "images", out=tmp_path / "out")
    likely = {item.name: item.likely_ious for item in summary.items}
    assert likely["empty.png"] == [(0.0, 0.0)]
    assert likely["disc.png"][0][0] > 0
