"""The kinds of evaluation: each reads what it compares, measures one image, and makes tables of the sums."""
