import numpy as np
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.formats import image_check
from bpr_cli.formats.image_check import check_image_file
from bpr_cli.formats.images import read_image
from tests.formats.format_builders import photo


def images(folder):
    """Images of many kinds."""
    for suffix in ("png", "jpg", "tif", "webp"):
        photo(folder / f"a.{suffix}")
    with Image.open(folder / "a.png") as image:
        image.convert("P").save(folder / "palette.png")
        image.convert("CMYK").save(folder / "cmyk.jpg")
        image.save(folder / "progressive.jpg", progressive=True)
    Image.fromarray(np.arange(768, dtype=np.uint16).reshape(24, 32)).save(folder / "deep.png")
    (folder / "trailer.jpg").write_bytes((folder / "a.jpg").read_bytes() + b"of a camera")
    return sorted(folder.iterdir())


def refusal(read, path):
    """What a reader says against a file, or None."""
    try:
        read(path)
    except BprError as error:
        return str(error)
    return None


def test_whole_images_have_their_size(tmp_path):
    for path in images(tmp_path):
        assert check_image_file(path) == (24, 32), path.name


def test_images_cut_short_are_refused_in_the_words_of_the_reader(tmp_path):
    for path in images(tmp_path):
        content = path.read_bytes()
        if path.name == "trailer.jpg":
            continue
        for stop in (0, len(content) // 4, len(content) // 2, len(content) - 20):
            path.write_bytes(content[:stop])
            assert refusal(check_image_file, path) == refusal(read_image, path)


def test_only_what_cannot_be_told_otherwise_is_decoded(tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(image_check, "read_image", lambda path: decoded.append(path.name))
    for path in images(tmp_path):
        check_image_file(path)
    assert decoded == ["a.tif", "a.webp", "trailer.jpg"]
