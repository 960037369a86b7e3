"""The public data sets of configs and experiments: ``python -m experiments.data NAME`` writes ``data/NAME``.

A recipe says where a data set comes from (`sources.py`) and how its files are made (`recipes/`, one file a data set).
Its sources are downloaded (`fetching.py`) or found in a checkout (`checkouts.py`); its files are made, checked and only
then put in place (`writing.py`).
"""
