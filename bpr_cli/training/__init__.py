"""Training: the patch set on disk, how it is extracted, and what learns from it.

This package imports nothing by itself, so that the command line answers before torch is loaded. ``recipe``,
``recipe_file`` and ``settings`` stay free of torch as well.
"""
