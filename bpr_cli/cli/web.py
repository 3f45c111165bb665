"""``bpr web``: write the page that refines masks in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bpr_cli.cli.command import app_of
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import OptionsOf, command_of
from bpr_cli.inference.settings import ExportSettings

EXAMPLES = """
Examples:

  bpr web --out page/

  npm install onnxruntime-web@1.30.0
  bpr web --out page/ --runtime node_modules/onnxruntime-web
"""


def web(
    values: Annotated[dict[str, Any], OptionsOf(ExportSettings, ("weights",))],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="PATH", help="Output directory, created if missing (default: page)")
    ] = Path("page"),
    runtime: Annotated[
        Path | None,
        typer.Option(
            "--runtime",
            metavar="PATH",
            help="The npm package onnxruntime-web, as a folder or .tgz file (default: npm downloads it)",
        ),
    ] = None,
) -> None:
    """Write a page that refines masks in a browser.

    The page is one HTML file that needs no server and no network: it holds
    the weights and ONNX Runtime Web, and can be opened from a disk or put on
    any web server. Images stay in the browser.
    """
    # Imported here, because NumPy and PyTorch take seconds and help texts must not wait for them.
    from bpr_cli.formats.output_checks import check_outputs  # noqa: PLC0415

    check_outputs(out)
    from bpr_cli.web.page import write_page  # noqa: PLC0415

    page = write_page(values.get("weights", ExportSettings.weights), out, runtime)
    console = Console()
    console.message(f"{page}, {page.stat().st_size / 1e6:.1f} MB: open it in a browser")


app = app_of(command_of(web), EXAMPLES)
