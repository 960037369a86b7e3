"""What a training step is, and what stands around it."""
