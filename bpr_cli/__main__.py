"""``python -m bpr_cli`` is ``bpr``."""

from bpr_cli.cli.main import program

program()
