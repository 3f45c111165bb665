"""Finds the image of a prediction by its file name; ``image_names.py`` knows how tools name images and masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path

from bpr_cli.errors import BprError, join_names, note
from bpr_cli.formats.image_names import (
    CITYSCAPES_IMAGE,
    IMAGE_SUFFIXES,
    UNREAD_SUFFIXES,
    bare_stems,
    check_pattern,
    ends_with,
    fill_pattern,
    forms_of,
    is_mask_word,
    is_named_as_mask,
    loose,
    places_of,
    stems_of,
    unnumbered,
)
from bpr_cli.formats.images import image_size
from bpr_cli.formats.photographs import holds_image
from bpr_cli.system.paths import list_files, system_name
from bpr_cli.typing import Size

_NEAREST_SEARCHES = 5
"""Misses for which the nearest name is looked up: each look-up compares all names."""

NEAR = 0.8
"""Similarity from which on a name may be the wanted one with a slip, 0..1; frames of other videos are less alike."""

Tables = dict[str, list[Path]]


class ImageIndex:
    """The images under a folder, or one image file, indexed by name.

    The image of a prediction is the file with exactly its relative path. Else it is the first of these that exists, for
    the name of the prediction, then for its shorter stems (``stems_of``): a file of that full name; a Cityscapes image
    (``…_leftImg8bit``); a file with that stem; one that has an ending or a beginning of images besides (``x_im``,
    ``img_7``); one whose name differs only in case, Unicode composition, percent-encoding or zeros before a number.
    Files with names of masks come last. If nothing has a name of the prediction, its folders are tried as names,
    innermost first, then its name without the number of a mask (``x`` for ``x_mask_3``). A prediction called only
    ``mask`` or the like has the only image in its folder.

    If several files match, one in the same relative folder wins, then the one whose innermost folders are those of the
    prediction, apart from names such as ``masks`` and ``images``.

    With a pattern, none of these rules holds: the image has the name that the pattern gives.

    Attributes:
        root: the folder.
        lone: the image, if a single file was given instead of a folder.
        pattern: name of an image, with fields in braces as in ``image_names.py``; None for the rules.
    """

    def __init__(self, root: Path, paths: Iterable[Path], lone: Path | None = None, pattern: str | None = None) -> None:
        """Index ``paths``, relative to ``root``; see ``scan``."""
        self.root = root
        self.lone = lone
        self.pattern = pattern
        self._paths = {path.as_posix(): path for path in paths}
        self._left_out: set[tuple[int, int]] = set()
        self._rules: Counter[str] = Counter()
        self._searches = 0
        self._folders: dict[Path, list[Path]] = {}
        names: Tables = {}
        cityscapes: Tables = {}
        stems: Tables = {}
        dressed: Tables = {}
        similar: Tables = {}
        for path in self._paths.values():
            self._folders.setdefault(path.parent, []).append(path)
            names.setdefault(path.name, []).append(path)
            stems.setdefault(path.stem, []).append(path)
            if path.stem.endswith(CITYSCAPES_IMAGE):
                cityscapes.setdefault(path.stem.removesuffix(CITYSCAPES_IMAGE), []).append(path)
            bare = bare_stems(path.stem)
            for stem in bare:
                dressed.setdefault(stem, []).append(path)
            for key in {loose(stem) for stem in (path.name, path.stem, *bare)}:
                similar.setdefault(key, []).append(path)
        self._tables = (names, cityscapes, stems, dressed)
        self._similar = similar

    @classmethod
    def scan(cls, images: Path, pattern: str | None = None) -> ImageIndex:
        """Index a folder of images or one image file.

        Raises:
            BprError: the path does not exist, the folder holds no image, or the pattern has an unknown field.
        """
        if pattern is not None:
            check_pattern(pattern)
        if images.is_file():
            return cls(images.parent, [Path(images.name)], images, pattern)
        if not images.is_dir():
            raise BprError(f"{images} does not exist, expected a directory of images or one image; check --images")
        paths = list_files(images, IMAGE_SUFFIXES)
        if not paths:
            others = list_files(images, UNREAD_SUFFIXES)
            found = f"holds no image that is read, only others such as {others[0]}" if others else "holds no image"
            raise BprError(f"{images} {found}, expected {', '.join(IMAGE_SUFFIXES)} files; check --images")
        return cls(images, paths, pattern=pattern)

    @property
    def found_by(self) -> str:
        """The rules by which ``find`` has found images, the most frequent first, such as ``by name without _mask``."""
        rules = self._rules.most_common()
        counted = [rule if len(rules) == 1 else f"{rule} ({count})" for rule, count in rules]
        return join_names(counted)

    def leave_out(self, files: Iterable[Path]) -> None:
        """Never find these files: predictions and ground truth may lie among the images."""
        self._left_out.update(_identities(files))

    def find(self, names: Sequence[str], beside: Path | None = None) -> Path:
        """Find the image of a prediction.

        Args:
            names: possible names of the image in order of preference: file names or stems, with folders if known.
            beside: file of the prediction; its folder decides between images of the same name.

        Raises:
            BprError: no image matches, or several do.
        """
        forms = [form for name in names for form in forms_of(system_name(name))]
        for rule, name, matches in self._by_pattern(forms) if self.pattern else self._by_rules(forms, beside):
            if matches:
                found = self._choose(name, matches, beside)
                self._rules[rule] += 1
                return self.root / found
        raise BprError(self._miss(forms))

    def only_image(self, names: Sequence[str], file: Path | None) -> Path | None:
        """The given image, for the only prediction; None if a folder was given. See ``find`` for the arguments.

        Raises:
            BprError: the image is the prediction itself.
        """
        if self.lone is None:
            return None
        if not self._usable([Path(self.lone.name)]):
            raise BprError(f"{self.lone} is the mask itself, expected its image; give that with --images")
        named = file is None or self._matches(Path(names[0]).name)[1]
        self._rules["as the only one" if named else f"as the only one, {self.lone.name}, though its name differs"] += 1
        return self.lone

    def size(self, image: Path, max_pixels: int) -> Size:
        """(H, W) of an image that ``find`` returned.

        Raises:
            BprError: the file is broken or too large.
        """
        return image_size(image, max_pixels)

    def may_lie_in(self, folder: Path) -> bool:
        """Whether files in a folder may be images: it holds their folder, or lies in that."""
        own, there = self.root.resolve(), folder.resolve()
        return own.is_relative_to(there) or there.is_relative_to(own)

    def images_among(self, root: Path, files: Sequence[Path]) -> list[Path]:
        """The files in a folder of predictions that are images themselves, and have no image.

        There are some if images and masks lie in one folder. No file with a name of masks is among them.

        Args:
            root: the folder of the predictions.
            files: the files, relative to ``root``.
        """
        if self.lone or not self.may_lie_in(root):
            return []
        alone = [file for file in files if not self._has_image(root / file)]
        if len(alone) == len(files):
            return []
        images = [file for file in alone if not is_named_as_mask(file) and holds_image(root / file)]
        if images:
            sentence = "%s of the PNG files in %s are taken for images, not for masks, such as %s"
            note(sentence, len(images), root, images[0])
        return images

    def _has_image(self, mask: Path) -> bool:
        """Whether another file is the image of a mask, by its name.

        A file of the same name in the folder of another sample (``s1/image.png`` and ``s2/image.png``) is not.
        """
        own, places = set(_identities([mask])), places_of(mask.absolute().parent)
        found = (self.root / path for _, _, paths in self._by_rules([mask.stem], mask) for path in paths)
        images = [path for path in found if not is_named_as_mask(path.relative_to(self.root))]
        near = (
            path for path in images if path.name != mask.name or places_of(path.absolute().parent)[:1] == places[:1]
        )
        return any(identity not in own for identity in _identities(near))

    def _by_rules(self, forms: Sequence[str], beside: Path | None) -> Iterator[tuple[str, str, list[Path]]]:
        """The rules in the order in which they hold: how a rule is called, the name it was used for, the matches."""
        for name in forms:
            path = self._paths.get(name)
            yield "by the listed names", name, self._usable([path] if path else [])
            stem, matches = self._matches(Path(name).name)
            yield _rule_of(Path(name).name, stem), name, matches
        for name in forms:
            above = places_of(beside.absolute().parent)[:1] if beside else []
            for folder in places_of(Path(name).parent) or above:
                yield "by the name of the mask's folder", name, self._matches(folder)[1]
            if plain := unnumbered(Path(name).name):
                yield "by name without the number of the mask", name, self._matches(plain)[1]
        if beside and is_mask_word(beside.stem):
            yield "as the only one in the mask's folder", forms[0], self._beside(beside)

    def _beside(self, mask: Path) -> list[Path]:
        """The images in the folder of a mask."""
        folder, root = mask.absolute().parent, self.root.absolute()
        near = self._folders.get(folder.relative_to(root), ()) if folder.is_relative_to(root) else ()
        return self._usable(path for path in near if not is_named_as_mask(path))

    def _by_pattern(self, forms: Sequence[str]) -> Iterator[tuple[str, str, list[Path]]]:
        for name in forms:
            wanted = fill_pattern(self.pattern or "", name)
            path = Path(wanted)
            ending = [each for each in self._similar.get(loose(path.name), []) if ends_with(each, path)]
            yield f"by --image-pattern {self.pattern}", name, self._usable(ending)

    def _matches(self, name: str) -> tuple[str, list[Path]]:
        """The stem of a name that an image has, and the images that have it; files named as masks only if no other."""
        stems = stems_of(name)
        of_masks: tuple[str, list[Path]] = (name, [])
        for table in (*self._tables, self._similar):
            for stem in stems:
                found = self._usable(table.get(loose(stem) if table is self._similar else stem, ()))
                images = [path for path in found if not is_named_as_mask(path)]
                if images:
                    return stem, images
                if found and not of_masks[1]:
                    of_masks = stem, found
        return of_masks

    def _usable(self, paths: Iterable[Path]) -> list[Path]:
        """The paths that are not left out."""
        if not self._left_out:
            return list(paths)
        return [path for path in paths if not self._left_out.intersection(_identities([self.root / path]))]

    def _choose(self, name: str, matches: list[Path], beside: Path | None) -> Path:
        folder = Path(name).parent
        same = [path for path in matches if path.parent == folder]
        near = self._nearest_folder(folder, matches)
        beside_it = self._nearest_folder(beside.absolute().parent, matches) if beside else []
        for group in (matches, same, near, beside_it):
            if len(group) == 1:
                return group[0]
        found = join_names(self.root / path for path in matches)
        raise BprError(
            f"several images match {stems_of(Path(name).name)[-1]!r}: {found}; "
            "give a directory with one of them, or tell them apart with --image-pattern"
        )

    def _nearest_folder(self, folder: Path, matches: list[Path]) -> list[Path]:
        """The images whose innermost folders agree most with a folder; none if no folder agrees."""
        places, root = places_of(folder), self.root.absolute()
        common = [_common_length(places, places_of((root / path).parent)) for path in matches]
        return [path for path, length in zip(matches, common, strict=True) if length == max(common) > 0]

    def _miss(self, forms: Sequence[str]) -> str:
        """The message for a prediction without an image: what was looked for, where, and what is there."""
        where = self.lone or self.root
        if self.pattern:
            wanted, looked = [fill_pattern(self.pattern, forms[0])], f"{fill_pattern(self.pattern, forms[0])!r}"
            advice = "check --image-pattern and --images"
        else:
            wanted = stems_of(Path(list(forms_of(forms[0]))[-1]).name)
            looked = " or ".join(map(repr, reversed(wanted)))
            advice = "check --images, or say with --image-pattern how images are called"
        images = "1 image" if len(self._paths) == 1 else f"{len(self._paths)} images"
        return f"no image called {looked} in {where} ({images}){self._hint(wanted)}; {advice}"

    def _hint(self, wanted: Sequence[str]) -> str:
        """What lies in the folder under a wanted or a similar name."""
        if self._searches >= _NEAREST_SEARCHES:
            return ""
        self._searches += 1
        keys = {loose(name) for name in wanted} | {loose(Path(name).stem) for name in wanted}
        if any(self._usable([path]) == [] for key in keys for path in self._similar.get(key, ())):
            return ", apart from the masks themselves"
        unread = [] if self.lone else list_files(self.root, UNREAD_SUFFIXES)
        for path in unread:
            if loose(path.stem) in keys:
                expected = ", ".join(IMAGE_SUFFIXES)
                return f"; {self.root / path} has a format that is not read, expected {expected}: convert it"
        is_named = any(map(str.isalpha, wanted[-1]))  # of mere numbers, the nearest one means nothing
        if is_named and (near := get_close_matches(loose(wanted[-1]), list(self._similar), 1, NEAR)):
            return f"; the nearest name there is {self._similar[near[0]][0]}"
        return "".join(f"; names there look like {path}" for path in self._usable(self._paths.values())[:1])


def _rule_of(name: str, stem: str) -> str:
    """How to call the rule that found an image by a stem of the name."""
    bare = Path(name).stem if Path(name).suffix.lower() in IMAGE_SUFFIXES else name
    rest = bare.removeprefix(stem) if bare.startswith(stem) else bare.removesuffix(stem)
    return f"by name without {rest}" if rest and len(stem) < len(bare) else "by name"


def _common_length(places: Sequence[str], others: Sequence[str]) -> int:
    """Number of equal places at the beginning."""
    pairs = zip(places, others, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _identities(files: Iterable[Path]) -> Iterator[tuple[int, int]]:
    """Device and inode of files, which links to one file share; nothing for missing files."""
    for file in files:
        with suppress(OSError):
            status = file.stat()
            yield status.st_dev, status.st_ino
