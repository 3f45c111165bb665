"""Prediction formats. Only this package knows file formats."""
