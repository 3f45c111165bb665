"""The networks that re-decide a patch, and the files their weights travel in.

This package imports nothing by itself, so that the command line answers before torch is loaded. ``card`` and
``shipped`` stay free of torch as well; the networks, ``registry`` and ``weights`` need it.
"""
