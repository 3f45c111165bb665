"""The rooms of ARCHITECTURE.md: who may import whom."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import bpr_cli

PACKAGE = Path(bpr_cli.__file__).parent

ORDER = (
    {"errors", "settings", "typing", "version"},
    {"masks", "system"},
    {"networks", "patches"},
    {"formats"},
    {"truth"},
    {"weights"},
    {"inference"},
    {"patchset", "conversion"},
    {"refinement", "evaluation"},
    {"training"},
    {"demo", "integrations", "web"},
    {"cli"},
)
"""From the lowest rooms to the highest."""

HEIGHT = {room: height for height, rooms in enumerate(ORDER) for room in rooms}


def modules(path: Path) -> set[str]:
    """Modules of the program that a file imports: at the top, inside of functions, or for type checkers only."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {name for name in found if name.startswith("bpr_cli.")}


def imports(path: Path) -> set[str]:
    """Rooms that a file imports."""
    return {name.split(".")[1] for name in modules(path)}


def test_files_never_import_in_a_circle():
    files = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    assert tuple(TopologicalSorter({name: modules(path) for name, path in files.items()}).static_order())


def test_lower_rooms_never_import_higher_ones():
    upward = []
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE)
        room = name.parts[0].removesuffix(".py")
        if room not in ("__init__", "__main__"):
            upward += [f"{name} imports {other}" for other in imports(path) if HEIGHT[other] > HEIGHT[room]]
    assert upward == []


def test_every_room_has_its_place():
    rooms = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__main__", "__pycache__", "py.typed", "weights"} == HEIGHT.keys() - {"weights"}


def test_files_that_architecture_names_are_there():
    page = PACKAGE.parent / "ARCHITECTURE.md"
    named = {word for word in page.read_text().split("`") if "/" in word and word.endswith((".py", "/"))}
    missing = sorted(name for name in named if not (PACKAGE / name).exists() and not (PACKAGE.parent / name).exists())
    assert missing == []
