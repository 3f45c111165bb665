"""The report of an evaluation: its data, and the files that show it."""
