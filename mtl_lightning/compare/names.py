"""Contestants that a comparison adds by itself."""

SINGLE_TASK = "single task"
"""Trains a model of its own for each task, of the same architecture."""

TUNED_WEIGHTS = "tuned weights"
"""Fixed weights, found by a search."""
