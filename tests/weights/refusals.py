"""How weights are refused."""

import pytest

from bpr_cli.errors import BprError
from bpr_cli.weights.files import load_weights


def refusal(path) -> str:
    """The message with which a file is refused: one line that names it."""
    with pytest.raises(BprError) as caught:
        load_weights(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert not message.endswith(".")
    return message
