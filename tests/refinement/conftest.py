import numpy as np
import pytest
from PIL import Image

from tests.formats.format_builders import png
from tests.inference.engines import blob, picture

SIZE = (36, 44)


@pytest.fixture
def world(tmp_path):
    """Three masks and their images."""
    for number, name in enumerate("abc"):
        png(tmp_path / f"masks/{name}.png", blob(SIZE, number).astype(np.uint8) * 255)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(picture(SIZE, number)).save(tmp_path / f"images/{name}.png")
    return tmp_path
