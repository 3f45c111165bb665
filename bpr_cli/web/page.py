"""Builds the page: one HTML file that holds the network and what runs it, so that it works offline and from a disk."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bpr_cli.evaluation.report.html import TEMPLATES, source_digest
from bpr_cli.inference.export import checked_content
from bpr_cli.inference.settings import ExportSettings
from bpr_cli.system.atomic import write_atomically, writing
from bpr_cli.version import __version__
from bpr_cli.web.runtime import WebRuntime, load_runtime
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import load_weights

FOLDER = Path(__file__).parent / "page"
NAME = "index.html"

SCRIPTS = ("boxes", "crop", "paste", "limits", "judge", "refine", "files", "paint", "compare", "network", "page")
"""The page's own scripts, in the order in which they run; worker.js runs in workers."""


def write_page(weights: str, out: Path, runtime: Path | None = None) -> Path:
    """Write the page into a folder; an existing page is replaced.

    Args:
        weights: shipped weights by name, or a weights file.
        out: the folder, created if missing.
        runtime: the npm package ``onnxruntime-web``; see ``load_runtime``.

    Returns:
        The page.

    Raises:
        BprError: the weights or the runtime cannot be used, or the page cannot be written.
    """
    loaded = load_weights(weights)
    (network,), _ = checked_content(ExportSettings(weights, "onnx"), loaded)
    page = build_page(network, loaded.card, load_runtime(runtime))
    with writing(out / NAME):
        write_atomically(out / NAME, page.encode())
    return out / NAME


def build_page(network: bytes, card: WeightsCard, runtime: WebRuntime) -> str:
    """The page as the text of one HTML file.

    Args:
        network: the network as ONNX, for any number of patches.
        card: the card of its weights.
        runtime: what runs it in browsers.
    """
    script = "\n".join([_text(TEMPLATES / "slider.js"), *(_text(FOLDER / f"{name}.js") for name in SCRIPTS)])
    embedded = {
        "network": network,
        "wasm": runtime.wasm,
        "runtime": runtime.script,
        "worker": (FOLDER / "worker.js").read_bytes(),
    }
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        card=card,
        # "<" could end the script element.
        card_json=Markup(card.to_json().replace("<", "\\u003c")),
        embedded={name: packed(content) for name, content in embedded.items()},
        runtime=runtime,
        runtime_licence=_text(FOLDER / "onnxruntime-licence.txt"),
        style=Markup(_text(TEMPLATES / "report.css") + _text(FOLDER / "page.css")),
        script=Markup(script),
        script_digest=Markup(source_digest(script)),
        version=__version__,
    )


def packed(content: bytes) -> str:
    """Compress a file and write it as base64, always in the same way."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
