"""Masks, label maps and their runs: what every other room takes and gives."""
