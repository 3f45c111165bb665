"""``bpr check``: the same as ``bpr refine --dry-run``, with an optional ``--out``."""

from __future__ import annotations

from bpr_cli.cli.command import app_of
from bpr_cli.cli.options import command_of
from bpr_cli.cli.refine import refine
from bpr_cli.system.cluster import ClusterSettings

HELP = """Check predictions before refining them.

Reads all predictions, matches them with their images, and reports what is
broken. Counts images, segments and patches, and estimates time and memory by
a few passes of the network. Writes nothing. Options and exit codes are those
of bpr refine; with --out, checks that this output can be written or resumed.
"""

EXAMPLES = """
Examples:

  bpr check preds/ --images leftImg8bit/val/

  bpr check results.json --images val2017/ \\
      --image-info instances_val2017.json --json | jq .failures
"""

FIXED = {"dry_run": True, "shard": None, "processes": None, "cluster": ClusterSettings()}

app = app_of(command_of(refine, fixed=FIXED, defaults={"out": None}), EXAMPLES, HELP)
