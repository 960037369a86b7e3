"""What a training step really sees: ``python -m mtl_lightning show-batch``."""
