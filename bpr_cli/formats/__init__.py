"""Prediction formats: nothing else in the program knows a file format."""
