"""Whether image files can be read, without decoding those whose end shows that they are whole."""

from __future__ import annotations

from pathlib import Path

from bpr_cli.formats.images import image_size, read_image
from bpr_cli.formats.png_stream import PngStream
from bpr_cli.system.paths import read_bytes
from bpr_cli.typing import Size

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


def check_image_file(path: Path) -> Size:
    """(H, W) of an image file that is whole.

    PNG files of 8 bits are whole when the sums of all their parts are right, JPEG files when they end as they must. Any
    other file is decoded to find out.

    Raises:
        BprError: as ``read_image``.
    """
    size = image_size(path)
    content = read_bytes(path)
    if not (_is_whole_jpeg(content) or PngStream.of(content)):
        read_image(path)
    return size


def _is_whole_jpeg(content: bytes) -> bool:
    return content.startswith(_JPEG_START) and content.endswith(_JPEG_END)
