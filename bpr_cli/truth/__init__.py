"""Ground truth: opened, paired with predictions, and its label sets."""
