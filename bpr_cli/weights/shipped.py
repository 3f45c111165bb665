"""The weights that come with the program. Free of NumPy and PyTorch, so that help texts can name them."""

from __future__ import annotations

from pathlib import Path

DEFAULT_WEIGHTS = "fast"
PACKAGE = Path(__file__).resolve().parents[1]


def shipped_weights(package: Path = PACKAGE) -> dict[str, Path]:
    """The shipped weights by name (the file name without suffix), sorted.

    Args:
        package: the folder of ``bpr_cli``. The weights lie inside it in an installed wheel, and next to it in a source
            checkout.
    """
    inside = sorted((package / "weights").glob("*.safetensors"))
    beside = sorted((package.parent / "weights").glob("*.safetensors"))
    in_checkout = (package.parent / "pyproject.toml").is_file()
    return {path.stem: path for path in (beside if in_checkout and not inside else inside)}
