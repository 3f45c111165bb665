"""The one exception type of the program."""


class BprError(Exception):
    """An expected failure: unusable input, or a wrong setting.

    The message is one sentence that names the file (or setting), what was found, what was expected and what
    to do. The command line shows it without a traceback.
    """
