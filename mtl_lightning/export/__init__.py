"""``mtl-lightning export``: a trained model in a folder that other programs read."""
