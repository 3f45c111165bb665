from bpr_cli.networks.card import WeightsCard
from bpr_cli.refine.rounds import Round, rounds_of
from bpr_cli.refine.settings import RefineSettings

CARD = WeightsCard("small", "fake", patch_size=32, padding=16, input_size=128, scales=(4.0, 1.0))


def test_rounds_are_those_of_the_weights():
    assert rounds_of(CARD, RefineSettings(nms_threshold=0.4)) == (
        Round(patch_size=128, padding=64, input_size=128, nms_threshold=0.4, preliminary=True),
        Round(patch_size=32, padding=16, input_size=128, nms_threshold=0.4, preliminary=False),
    )


def test_settings_may_ask_for_others():
    (only,) = rounds_of(CARD, RefineSettings(scales=(0.5,), scheme="grid"))
    assert only == Round(16, padding=8, input_size=128, nms_threshold=0.25, scheme="grid", preliminary=False)
