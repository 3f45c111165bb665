"""Runs ``bpr`` as ``python -m bpr_cli``."""

from bpr_cli.cli.main import program

program()
