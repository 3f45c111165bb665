"""Ground truth: opening it, pairing it with predictions, and label sets."""
