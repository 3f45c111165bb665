"""COCO panoptic results: a JSON file, and one PNG file per image whose colours encode segment ids."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bpr_cli.errors import BprError, join_names, shorten
from bpr_cli.formats.base import Failure, Item, PredictionSet, Writer, Written
from bpr_cli.formats.coco_json import (
    ImageTable,
    id_of,
    image_names_of,
    is_panoptic,
    measure_segments,
    read_categories,
    read_record,
)
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.image_match import Candidate, match_images
from bpr_cli.formats.json_files import Json, Record, describe, encode_json, read_records, whole_number, write_document
from bpr_cli.formats.packed_files import bare_path
from bpr_cli.formats.png import encode_ids, read_ids, read_style
from bpr_cli.formats.reading import ReadSettings, Task
from bpr_cli.formats.records import CategoryRecord, SegmentRecord
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import LabelMap, Prediction
from bpr_cli.masks.runs import values_of
from bpr_cli.system.paths import file_inside, list_folder, output_file, write_bytes
from bpr_cli.typing import LabelArray

VOID = 0
_ID_LIMIT = 256**3


@dataclass(frozen=True)
class _Layout:
    """The paths of the JSON file and the PNG files.

    Attributes:
        document: the JSON file.
        folder: folder of the PNG files.
        folder_name: path of ``folder`` relative to the folder of the JSON file; empty if they are the same.
    """

    document: Path
    folder: Path
    folder_name: str


def _layout(source: Source, annotations: Iterable[Json]) -> _Layout:
    """Find the JSON file and its folder of PNG files.

    The PNG folder is the given folder, if the JSON file lies next to it; else the folder next to the JSON file with its
    stem; else the only folder next to the JSON file, if there is no PNG file beside it; else the folder of the JSON
    file. But if the file names have folders of their own and lie there relative to the JSON file, it is the folder of
    the JSON file.
    """
    document = source.document_path
    own = _Layout(document, document.parent, "")
    names = [name for each in annotations if isinstance(each, dict) and isinstance(name := each.get("file_name"), str)]
    if any("/" in name or "\\" in name for name in names) and _holds_any(document.parent, names):
        try:
            found = _png_folder(source, document)
        except BprError:
            return own
        return found if _holds_any(found.folder, names) else own
    return _png_folder(source, document)


def _holds_any(folder: Path, names: Iterable[str]) -> bool:
    """Whether one of the files exists in a folder."""
    for name in names:
        with suppress(BprError):
            if (folder / file_inside(folder, Path(), name)).is_file():
                return True
    return False


def _png_folder(source: Source, document: Path) -> _Layout:
    """Find the folder of PNG files for names without folders."""
    if document == source.sibling_document:
        return _Layout(document, source.path, source.path.resolve().name)
    neighbours = list_folder(document.parent)
    folders = [path for path in neighbours if path.is_dir()]
    same_stem = bare_path(document)
    if same_stem.is_dir():
        return _Layout(document, same_stem, same_stem.name)
    beside = any(path.suffix.lower() == ".png" for path in neighbours)
    if not beside and len(folders) == 1:
        return _Layout(document, folders[0], folders[0].name)
    if beside:
        return _Layout(document, document.parent, "")
    raise BprError(
        f"{document} holds panoptic results, but the folder of their PNG files was not found; put it next to the JSON "
        f"file as {same_stem.name}/"
    )


class PanopticSet(PredictionSet):
    """COCO panoptic results, also with Cityscapes file names. An item is one PNG file, named by its file name.

    A segment that cannot be read is left as it is, and its pixels are void; the other segments of its image are used.
    """

    format = "panoptic"
    noun = "panoptic results"
    task = Task.PANOPTIC
    family = "panoptic"

    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """Check the annotations and find the PNG files and images.

        Raises:
            BprError: the JSON file is not panoptic, or there is no folder of PNG files.
        """
        self.document = source.document
        self.max_pixels = settings.max_pixels
        if not is_panoptic(self.document):
            raise BprError(
                f"{source.document_path} holds {describe(self.document)}, expected COCO panoptic results: an object "
                "whose annotations have image_id, file_name and segments_info"
            )
        self.layout = _layout(source, self.document["annotations"])
        self._table = self._image_table(settings)
        self._numbers: dict[str, int] = {}
        self._faults: dict[tuple[int, int], Failure] = {}
        candidates = [self._candidate(number, record) for number, record in enumerate(self.document["annotations"])]
        self.items, self.failures = match_images(candidates, index)

    @classmethod
    def recognise(cls, source: Source, settings: ReadSettings) -> bool:  # noqa: ARG003
        """Whether there is a JSON file with ``segments_info``, or a folder of colour PNG files with one next to it."""
        if is_panoptic(source.telling_document):
            return True
        _check_one_document(source)
        sibling = source.sibling_document
        return sibling is not None and bool(source.sample.colours) and is_panoptic(read_records(sibling))

    def _image_table(self, settings: ReadSettings) -> ImageTable:
        if settings.image_info is not None:
            return ImageTable.read(settings.image_info)
        images = self.document.get("images")
        return ImageTable(images if isinstance(images, list) else [], self.layout.document)

    def _candidate(self, number: int, annotation: Json) -> Candidate:
        try:
            name = self._check(annotation)
        except BprError as error:
            named = annotation.get("file_name") if isinstance(annotation, dict) else None
            name = named if isinstance(named, str) and named not in self._numbers else f"annotation {number}"
            return Candidate(name, problem=f"{self.layout.document}: annotation {number} is broken: {error}")
        self._numbers[name] = number
        self._find_segments(number, annotation["segments_info"])  # for the faults; to keep what it finds takes memory
        image_id = id_of(annotation["image_id"]) or 0
        known = self._table.get(image_id)
        listed = (known.file_name,) if known else ()
        names = (*listed, Path(name).with_suffix("").as_posix(), *image_names_of(image_id))
        return Candidate(name, names, files=(self.layout.folder / name,))

    def _check(self, annotation: Json) -> str:
        """Check an annotation; returns the normalised name of its PNG file."""
        if not isinstance(annotation, dict) or id_of(annotation.get("image_id")) is None:
            raise BprError("it has no image_id, expected a whole number or a text")
        name = annotation.get("file_name")
        if not isinstance(name, str):
            raise BprError("it has no file_name, expected the name of its PNG file")
        path = file_inside(self.layout.folder, Path(), name)
        if not (self.layout.folder / path).is_file():
            raise BprError(f"its file {self.layout.folder / path} does not exist")
        known = self._numbers.get(path.as_posix())
        if known is not None:
            raise BprError(f"the file {name} already belongs to annotation {known}")
        if not isinstance(annotation.get("segments_info"), list):
            raise BprError("it has no segments_info, expected a list of segments")
        return path.as_posix()

    def _find_segments(self, number: int, segments: list[Json]) -> dict[int, int]:
        """The positions of the segments of an annotation whose ids can be used, by id."""
        positions: dict[int, int] = {}
        for position, segment in enumerate(segments):
            given = segment.get("id") if isinstance(segment, dict) else None
            segment_id = whole_number(given)
            if segment_id is None or not VOID < segment_id < _ID_LIMIT:
                problem = f"its id {shorten(given)} is not a whole number from 1 to {_ID_LIMIT - 1}"
                self._fail(number, position, problem)
            elif segment_id in positions:
                self._fail(number, position, f"its id {segment_id} occurs more than once")
            else:
                positions[segment_id] = position
        return positions

    def _fail(self, number: int, position: int, problem: str) -> None:
        """Note that a segment is broken."""
        named = self.document["annotations"][number]["file_name"]
        reason = f"{self.layout.document}: segment {position} of {named} is broken: {problem}"
        self._faults[number, position] = Failure(f"{named}, segment {position}", reason)

    def positions(self, item: Item) -> dict[int, int]:
        """The positions of the segments of an item in its record, by id."""
        return self._find_segments(self.number(item), self.annotation(item)["segments_info"])

    def usable(self, item: Item) -> dict[int, Record]:
        """The segments that can be read, by id; complete once the item was read."""
        number = self._numbers[item.name]
        segments = self.annotation(item)["segments_info"]
        known = ((id_, place) for id_, place in self.positions(item).items() if (number, place) not in self._faults)
        return {id_: segments[place] for id_, place in known}

    def annotation(self, item: Item) -> Record:
        """The JSON record of an item."""
        annotation: Record = self.document["annotations"][self._numbers[item.name]]
        return annotation

    def number(self, item: Item) -> int:
        """The position of an item's record in the JSON file."""
        return self._numbers[item.name]

    def read(self, item: Item) -> Prediction:
        """Read the segment ids of one image; ids without a segment are void.

        Raises:
            BprError: the PNG file is broken, or has no id in common with the JSON file.
        """
        path, number = self.layout.folder / item.name, self._numbers[item.name]
        ids = read_ids(path, self.max_pixels)
        in_file = set(values_of(ids).tolist()) - {VOID}
        positions = self.positions(item)
        stray, missing = in_file - positions.keys(), positions.keys() - in_file
        if (in_file or positions) and not in_file & positions.keys():
            # Ids that cannot be read explain why none of them is in the file.
            reasons = [fault.reason for (owner, _), fault in sorted(self._faults.items()) if owner == number]
            if stray and {_swapped(one) for one in stray} <= positions.keys():
                reasons = ["red and blue are swapped, as OpenCV stores them; write the channels as R, G, B"]
            explained = f" ({reasons[0]})" if reasons else ""
            raise BprError(f"{path} and {self.layout.document} disagree: {_difference(stray, missing)}{explained}")
        for segment_id in missing:
            self._fail(number, positions[segment_id], f"its id {segment_id} has no pixels in {path}")
        if stray:
            reason = f"{path} and {self.layout.document} disagree: {_difference(stray, set())}; their pixels are void"
            self._faults[number, -1] = Failure(item.name, reason)
        return LabelMap(ids, frozenset({VOID, *stray}))

    def faults(self, item: Item | None = None) -> list[Failure]:
        """The segments that cannot be read, in the order of the file."""
        number = None if item is None else self._numbers[item.name]
        return [fault for (owner, _), fault in sorted(self._faults.items()) if number in (None, owner)]

    def file(self, item: Item) -> Path:
        """The PNG file of an item."""
        return self.layout.folder / item.name

    def shared_files(self) -> list[Path]:
        """The JSON file."""
        return [self.layout.document]

    def image_id(self, item: Item) -> int | str:
        """The id of an item's image."""
        return id_of(self.annotation(item)["image_id"]) or 0

    def records(self, item: Item) -> tuple[SegmentRecord, ...]:
        """Metadata of the segments of one image that can be read, from the JSON file."""
        number, found = self._numbers[item.name], []
        for segment_id, segment in self.usable(item).items():
            try:
                found.append(read_record(segment))
            except BprError as error:
                position = self.positions(item)[segment_id]
                reason = f"{self.layout.document}: segment {segment_id} of {item.name} {error}"
                self._faults[number, position] = Failure(f"{item.name}, segment {position}", reason)
        return tuple(found)

    @property
    def categories(self) -> tuple[CategoryRecord, ...]:
        """The category list of the JSON file."""
        return read_categories(self.document, self.layout.document)

    @property
    def one_file(self) -> str:
        """Name of the JSON file."""
        return self.layout.document.name

    def writer(self, out: Path) -> Writer:
        """Make a writer of JSON and PNG files, under the names and in the layout of the input."""
        return _PanopticWriter(self, out)


def _check_one_document(source: Source) -> None:
    """Refuse colour PNG files beside several JSON files, if some of these are panoptic.

    Raises:
        BprError: a panoptic JSON file must be given itself.
    """
    if len(source.documents) > 1 and source.sample.colours:
        found = [path for path in source.documents if is_panoptic(_read_if_json(path))]
        if found:
            raise BprError(
                f"{source.path} holds {len(source.documents)} JSON files, of which {join_names(found)} "
                f"{'is' if len(found) == 1 else 'are'} panoptic; give one of them instead of the directory"
            )


def _read_if_json(path: Path) -> Json:
    """The content of a JSON file; None if it is not one."""
    try:
        return read_records(path)
    except BprError:
        return None


def _difference(in_file: set[int], in_json: set[int]) -> str:
    parts = []
    if in_file - in_json:
        parts.append(f"the PNG file has the ids {join_names(sorted(in_file - in_json))} without a segment")
    if in_json - in_file:
        parts.append(f"the segments {join_names(sorted(in_json - in_file))} have no pixels in the PNG file")
    return "; ".join(parts)


def _swapped(segment_id: int) -> int:
    """The id that a colour stands for if its red and blue are swapped."""
    return int.from_bytes(segment_id.to_bytes(3, "little"), "big")


class _PanopticWriter(Writer):
    def __init__(self, source: PanopticSet, out: Path) -> None:
        self._source = source
        self._document = output_file(out, source.layout.document.name)
        renamed = self._document.name != source.layout.document.name
        folder_name = (
            bare_path(self._document).name if renamed and source.layout.folder_name else source.layout.folder_name
        )
        self._folder = self._document.parent / folder_name

    def write(self, item: Item, refined: Prediction) -> Written:
        if not isinstance(refined, LabelMap):
            raise TypeError("expected a label map")
        annotation = self._update(item, refined.labels)
        path = self._folder / item.name
        digest = write_bytes(path, encode_ids(refined.labels, read_style(self._source.file(item)).orientation))
        return Written({path: digest}, {self._source.number(item): encode_json(annotation)})

    def _update(self, item: Item, ids: LabelArray) -> Record:
        """The record of an item, with the area and the box of every segment that could be read."""
        updated = {segment_id: dict(segment) for segment_id, segment in self._source.usable(item).items()}
        for segment, measured in zip(updated.values(), measure_segments(ids, list(updated)), strict=True):
            measured.update(segment)
        annotation, positions = self._source.annotation(item), self._source.positions(item)
        by_position = {positions[segment_id]: segment for segment_id, segment in updated.items()}
        segments = [by_position.get(place, segment) for place, segment in enumerate(annotation["segments_info"])]
        return {**annotation, "segments_info": segments}

    def close(self, records: Iterable[tuple[int, bytes]]) -> None:
        write_document(self._document, self._source.document, (content for _, content in records))
