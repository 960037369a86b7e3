"""Whether a long run on two processes keeps its memory and its open files."""
