"""bpr: sharpen the boundaries of segmentation masks that already exist."""

__version__ = "0.1.0"
