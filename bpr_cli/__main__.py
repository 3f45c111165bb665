"""Runs ``bpr``, as a script or as ``python -m bpr_cli``."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Before the slow imports below, so that Ctrl-C meanwhile ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from bpr_cli.cli.main import program

if __name__ == "__main__":
    program()
