"""The built-in demo: images with coarse predictions, refined, measured and drawn as before/after pictures."""
