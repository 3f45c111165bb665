"""Boundary pixels, patches along them, and their way back into masks: pure functions on arrays."""
