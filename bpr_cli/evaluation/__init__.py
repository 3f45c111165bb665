"""Metrics of predictions against ground truth, and their report."""
