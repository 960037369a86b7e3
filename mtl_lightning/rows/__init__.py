"""Rows of text files in plain Python: JSON Lines, CSV, TSV, CoNLL. Nothing here needs torch or datasets."""
