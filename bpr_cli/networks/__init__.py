"""Networks that predict patches; ``registry`` lists them by name."""
