"""What is in a file, line by line, as tables."""
