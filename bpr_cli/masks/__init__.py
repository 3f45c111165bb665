"""Masks, label maps and their runs: the data types that all other packages exchange."""
