"""What a training step sends between processes, and how long that takes: arithmetic alone, without torch."""
