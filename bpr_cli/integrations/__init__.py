"""Refinement inside other programs: detections of other libraries, a napari command and a ComfyUI node.

Nothing here needs these programs: objects are told by what they hold.
"""

from bpr_cli.integrations.detections import refine

__all__ = ["refine"]
