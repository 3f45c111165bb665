"""What the names of images and masks have in common: the endings, beginnings and folders that tools give them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePath, PureWindowsPath
from urllib.parse import unquote

from bpr_cli.errors import BprError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".webp", ".bmp")
"""Suffixes of the image files that are read, in lower case."""

_CAMERA_SUFFIXES = (".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jxl", ".nef", ".raw")
_GRAPHICS_SUFFIXES = (".exr", ".gif", ".hdr", ".jp2", ".jpe", ".pbm", ".pgm", ".ppm", ".psd", ".svg", ".tga")
UNREAD_SUFFIXES = (*_CAMERA_SUFFIXES, *_GRAPHICS_SUFFIXES, ".dcm", ".npy")
"""Suffixes of image files that are not read, in lower case."""

CITYSCAPES_IMAGE = "_leftImg8bit"

_MASK_WORDS = (
    # Cityscapes, and ACDC, BDD100K and IDD, which follow it
    r"gt(Fine|Coarse)(_[a-z0-9]+)?",
    r"(label|instance)(Level\d|Cs)?(Train)?Ids",
    r"(train|label|instance|drivable)_ids?",
    # predictions
    r"pred[a-z]*(_[a-z]+)?",
    r"outputs?|out|results?|res|coarse|refined|prob(s|ability|abilities)?|logits",
    # masks and label maps of all kinds
    r"(cp_)?masks?|binary|bin|instances?|panoptic|semantic|seg|segm|segs|segmap|segmented|segmentations?",
    r"labels?|label_?map|gt|ground_?truth|ann|anno|annotations?|manual\d?",
    # ADE20K, CamVid, iSAID, and the folders of labelme
    r"parts_\d+|(?-i:L)|instance_(id|color)_RGB|json",
    # matting and background removal
    r"alpha|matte|pha|fg|foreground|cutout|no-?bg|rembg|rmbg|removebg-preview|sal|saliency",
)
_IMAGE_WORDS = (r"leftImg8bit", r"rgb_anon|rgb|im|img|image|photo|sat|orig|original|input|frame|src|source|training")
_MASK_BEGINNING = r"(masks?|labels?|seg|segmentation|pred|prediction|gt|annotation)"
_IMAGE_BEGINNING = r"(images?|img|im|photo|frame|rgb)"

_SUFFIX = "|".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
_MASK_ENDING = re.compile(rf"[-_. ]({'|'.join(_MASK_WORDS)})$", re.IGNORECASE)
_IMAGE_ENDING = re.compile(rf"[-_. ]({'|'.join(_IMAGE_WORDS)})$", re.IGNORECASE)
_ENDING = re.compile(rf"(\.({_SUFFIX})|[-_. ]({'|'.join((*_MASK_WORDS, *_IMAGE_WORDS))}))$", re.IGNORECASE)
_WHOLE_MASK = re.compile("|".join(_MASK_WORDS), re.IGNORECASE)
_NUMBERED = re.compile(r"[-_. ]*\d+_?$")
_BEGINS_AS_MASK = re.compile(rf"^{_MASK_BEGINNING}([-_. ]+|(?=\d))", re.IGNORECASE)
_BEGINS_AS_IMAGE = re.compile(rf"^{_IMAGE_BEGINNING}([-_. ]+|(?=\d))", re.IGNORECASE)

_MASK_FOLDER = re.compile(
    r"(masks?|labels?|gt|ground_?truth|ann|annotations?|pred|predictions?|seg|segmentations?)([-_ .].*)?"
    r"|(default)?annot|gtFine|gtCoarse|alpha|matte|pha|SegmentationClass(PNG)?|SegmentationObject(PNG)?|semantic",
    re.IGNORECASE,
)
_IMAGE_FOLDER = re.compile(r"images?|imgs?|im|inputs?|frames|photos|rgb|JPEGImages|leftImg8bit|default", re.IGNORECASE)
_MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
"""Suffixes of formats without loss, which masks need."""


def stems_of(name: str) -> list[str]:
    """Possible stems of the image of the prediction ``name``, most specific first.

    Known endings are removed one by one, and then a known beginning:

    >>> stems_of("a_gtFine_labelIds.png")
    ['a_gtFine_labelIds.png', 'a_gtFine_labelIds', 'a']
    >>> stems_of("mask_0042")
    ['mask_0042', '0042']
    """
    stems = [name]
    while (shorter := _ENDING.sub("", stems[-1])) not in ("", stems[-1]):
        stems.append(shorter)
    plain = _BEGINS_AS_MASK.sub("", stems[-1])
    return stems if plain in ("", stems[-1]) else [*stems, plain]


def image_stem(name: PurePath) -> str:
    """The shortest stem of ``stems_of``, in the form of ``loose``; all files of one image share it."""
    *_, resolved = forms_of(str(name))
    return loose(stems_of(PurePath(resolved).name)[-1])


def bare_stems(stem: str) -> set[str]:
    """The stem of an image file without an ending or a beginning of images: ``x`` for ``x_im``, ``7`` for ``img_7``."""
    bare = {pattern.sub("", stem) for pattern in (_IMAGE_ENDING, _BEGINS_AS_IMAGE)}
    return bare - {stem, ""}


def unnumbered(stem: str) -> str | None:
    """The stem of a numbered mask, of which an image may have several, without the number; None for other names.

    >>> unnumbered("photo_mask_3"), unnumbered("photo_3")
    ('photo_mask', None)
    """
    plain = _NUMBERED.sub("", stem)
    return plain if plain != stem and _MASK_ENDING.search(plain) else None


def is_mask_word(stem: str) -> bool:
    """Whether a stem says only that the file is a mask, such as ``mask`` and ``label``."""
    return _WHOLE_MASK.fullmatch(stem) is not None


def loose(text: str) -> str:
    """The form in which names are compared.

    It is in composed Unicode, without the case of letters, percent-encoding, and zeros before a number.

    >>> loose("Caf%C3%A9") == loose("CAFÉ") and loose("0042") == loose("42")
    True
    """
    plain = unquote(text, errors="surrogateescape") if "%" in text else text
    plain = plain.lstrip("0") or "0" if plain.isdecimal() else plain
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", plain).casefold())


def forms_of(name: str) -> Iterable[str]:
    """A name as it stands in a file, and with the separators of Windows and percent-encoding resolved."""
    slashed = PureWindowsPath(name).as_posix() if "\\" in name else name
    return dict.fromkeys((name, slashed, unquote(slashed, errors="surrogateescape")))


def is_named_as_mask(path: Path) -> bool:
    """Whether an image file, by a relative path, has a name or a folder that tools give to masks."""
    if path.suffix.lower() not in _MASK_SUFFIXES:
        return False
    named = _MASK_ENDING.search(path.stem) or _BEGINS_AS_MASK.match(path.stem) or is_mask_word(path.stem)
    return bool(named) or any(map(_MASK_FOLDER.fullmatch, path.parent.parts))


def places_of(folder: PurePath) -> list[str]:
    """The parts of a folder, innermost first, without those that only tell images from masks."""
    parts = reversed(folder.parts)
    return [loose(part) for part in parts if not (_MASK_FOLDER.fullmatch(part) or _IMAGE_FOLDER.fullmatch(part))]


FIELDS = ("stem", "name", "folder", "number")
"""What may stand in braces: the name without known endings, the full name, its folder, its last number."""

_FIELD = re.compile(r"\{(\w*)\}")


def check_pattern(pattern: str) -> None:
    """Check the fields of a pattern.

    Raises:
        BprError: a field is unknown, or there is none.
    """
    fields = _FIELD.findall(pattern)
    known = ", ".join(f"{{{field}}}" for field in FIELDS)
    unknown = [field for field in fields if field not in FIELDS]
    if unknown or not fields:
        found = f"has the unknown field {{{unknown[0]}}}" if unknown else "has no field"
        raise BprError(f"--image-pattern {pattern!r} {found}, expected a name with {known}")


def fill_pattern(pattern: str, name: str) -> str:
    """The name of the image of a prediction, whose own name may have a folder and a suffix.

    >>> fill_pattern("{folder}/rgb_{number}.png", "s1/shot_0042_mask.png")
    's1/rgb_0042.png'
    """
    path = Path(name)
    bare = path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path
    digits = re.findall(r"\d+", bare.name)
    values = {
        "stem": stems_of(bare.name)[-1],
        "name": bare.name,
        "folder": path.parent.name,
        "number": digits[-1] if digits else "",
    }
    return _FIELD.sub(lambda field: values[field[1]], pattern)


def ends_with(path: Path, wanted: Path) -> bool:
    """Whether the folders of a path end with those of a wanted path."""
    parts = wanted.parent.parts
    return not parts or path.parent.parts[-len(parts) :] == parts
