"""``mtl-lightning adapt``: a trained model learns a new task, or new labels, from a few examples."""
