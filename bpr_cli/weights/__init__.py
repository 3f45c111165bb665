"""Weights files: cards, checkpoints, conversion, and the shipped weights."""
