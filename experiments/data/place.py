"""Where data sets are."""

import os
from pathlib import Path


def data_folder() -> Path:
    """The folder of data sets: what the environment variable ``MTL_DATA`` names, or else ``data``."""
    return Path(os.environ.get("MTL_DATA") or "data")


def obtain(*names: str) -> str:
    """The command that writes data sets.

    >>> obtain("ud_ewt", "snips")
    'python -m experiments.data ud_ewt snips'
    """
    return " ".join(("python -m experiments.data", *names))
