"""Data sets that are read as they come."""
