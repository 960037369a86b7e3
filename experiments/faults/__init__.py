"""Breaks runs of two processes in every way that is known, and measures what is said and what is kept."""
