"""Figures that tell how good masks are, measured against ground truth."""
