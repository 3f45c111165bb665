"""Training: the patch set on disk, how it is extracted, and what learns from it."""
