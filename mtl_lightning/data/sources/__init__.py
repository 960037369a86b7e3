"""Where examples come from, one kind a file."""
