"""Patch sets: extracted from predictions and ground truth, stored for training."""
