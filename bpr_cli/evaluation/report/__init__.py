"""The report of an evaluation: its data and its files."""
