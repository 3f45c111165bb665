"""The text of the page: one file that may run its own script only, with weights and licences told."""

import base64
import gzip
import hashlib
import re

from bpr_cli.web.page import build_page
from bpr_cli.web.runtime import WebRuntime
from bpr_cli.weights.card import WeightsCard

CARD = WeightsCard("</script><script>alert(1)</script>", "unet-s", licence="<b>mine</b>", training_data="a & b")
RUNTIME = WebRuntime(b"export const env = {}", b"\0asm")


def test_only_its_own_script_may_run_and_nothing_may_be_fetched():
    html = build_page(b"network", CARD, RUNTIME)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html).group(1)
    script = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}' blob: 'wasm-unsafe-eval'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r'(src|href)="(?!data:|#)', html)


def test_it_holds_the_network_and_what_runs_it():
    html = build_page(b"network", CARD, RUNTIME)
    held = dict(re.findall(r'<script type="application/octet-stream" id="(\w+)">([^<]+)</script>', html))
    content = {name: gzip.decompress(base64.b64decode(text)) for name, text in held.items()}
    assert (content["network"], content["runtime"], content["wasm"]) == (b"network", RUNTIME.script, RUNTIME.wasm)


def test_names_and_licences_are_told_and_never_markup():
    html = build_page(b"network", CARD, RUNTIME)
    assert "alert(1)</script>" not in html
    assert "&lt;b&gt;mine&lt;/b&gt;" in html
    assert "Training data: a &amp; b." in html
    assert "Copyright (c) Microsoft Corporation" in html
    text = re.search(r'<script type="application/json" id="card">([^<]+)</script>', html).group(1)
    assert WeightsCard.from_json(text) == CARD
    assert build_page(b"network", CARD, RUNTIME) == html
