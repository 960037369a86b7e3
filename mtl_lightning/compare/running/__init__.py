"""Runs the runs of a comparison: what is left to do, where, and what is kept of each."""
