"""Conversion of prediction files from one format to another."""
