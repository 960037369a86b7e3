"""Folders that transformers loads without this package."""
