"""The rooms of ARCHITECTURE.md: who may import whom."""

import ast
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


def imports(path: Path) -> set[str]:
    """Rooms that a file imports, at the top or inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bpr_cli."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("bpr_cli.")}
    return found


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
