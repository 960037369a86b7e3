"""Comparing weightings, or any variants of a config, fairly: plan, run, statistics, report."""
