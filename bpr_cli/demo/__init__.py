"""The embedded example: pictures with exact ground truth, coarse predictions of them, and before/after pictures."""
