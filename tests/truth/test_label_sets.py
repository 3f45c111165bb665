"""Label sets, and telling labelIds from trainIds."""

from pathlib import Path

import pytest

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Item
from bpr_cli.truth.label_sets import choose_label_set, looks_like


class Truth:
    """A set of which only the names matter."""

    def __init__(self, *names: str) -> None:
        self.items = [Item(name, Path(name)) for name in names]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 1, 2, 10, 13, 255], "trainIds"),
        ([0, 18], "trainIds"),
        ([7, 8, 11, 21, 23, 26], "labelIds"),
        ([0, 1, 3, 7, 33], "labelIds"),
        ([7, 8, 11], None),
        ([255], None),
        ([], None),
        ([0, 1, 40], None),
    ],
)
def test_looks_like(labels: list[int], expected: str | None) -> None:
    assert looks_like(labels) == expected


def test_names_of_files_tell_the_label_set() -> None:
    assert choose_label_set(None, None, Truth("a_gtFine_labelIds.png")).name == "labelIds"
    assert choose_label_set(None, None, Truth("a_gtFine_labelTrainIds.png")).name == "trainIds"
    assert choose_label_set(None, None, Truth("a_gtFine_labelIds.png", "b.png")).name == "as found"


def test_cityscapes_classes() -> None:
    label_ids = choose_label_set("labelIds", None, Truth("a.png"))
    train_ids = choose_label_set("trainIds", None, Truth("a.png"))
    assert list(label_ids.names.values()) == list(train_ids.names.values())
    assert (len(label_ids.names), label_ids.names[26], train_ids.names[13]) == (19, "car", "car")
    assert label_ids.ignore >= {0, 6, 9, 29, 255}
    assert train_ids.ignore == {255}


def test_ignored_labels_are_no_classes(tmp_path: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("sky\r\nroad\r\nvoid\r\n\r\n")
    found = choose_label_set(str(classes), (2,), Truth("a.png"))
    assert (found.names, found.ignore) == ({0: "sky", 1: "road"}, frozenset({2}))
    with pytest.raises(BprError, match=r"all classes of .* are ignored"):
        choose_label_set(str(classes), (0, 1, 2), Truth("a.png"))
