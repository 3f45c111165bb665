from dataclasses import replace

from bpr_cli.refinement.passes import Pass, passes_of
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.weights.card import WeightsCard

CARD = WeightsCard("small", "fake", patch_size=32, padding=16, input_size=128, scales=(4.0, 1.0))


def test_rounds_are_those_of_the_weights():
    assert passes_of(CARD, RefineSettings(nms_threshold=0.4)) == (
        Pass(patch_size=128, min_patch_size=128, padding=64, input_size=128, nms_threshold=0.4, preliminary=True),
        Pass(patch_size=32, min_patch_size=32, padding=16, input_size=128, nms_threshold=0.4, preliminary=False),
    )


def test_patches_of_small_masks_shrink_in_every_round():
    far, near = passes_of(replace(CARD, min_patch_size=16), RefineSettings(scales=(2.0, 1.0)))
    assert (far.min_patch_size, far.patch_size, near.min_patch_size, near.patch_size) == (32, 64, 16, 32)
    assert [near.side_along(side**2) for side in (0, 1, 32, 34, 50, 64, 66, 1000)] == [16, 16, 16, 17, 25, 32, 32, 32]
    (plain,) = passes_of(CARD, RefineSettings(scales=(1.0,)))
    assert [plain.side_along(area) for area in (0, 1, 10**6)] == [32, 32, 32]


def test_settings_may_ask_for_others():
    (only,) = passes_of(CARD, RefineSettings(scales=(0.5,), scheme="grid"))
    assert only == Pass(16, 16, padding=8, input_size=128, nms_threshold=0.25, scheme="grid", preliminary=False)
