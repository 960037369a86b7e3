"""Runs the command line as a user does."""

import subprocess
import sys

import pytest
from forked import run as run_forked
from patience import PATIENCE


@pytest.fixture(scope="session")
def command():
    """``python -m mtl_lightning …`` in a process of its own."""

    def run(*arguments, cwd, **kwargs):
        line = [sys.executable, "-m", "mtl_lightning", *arguments]
        return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, **kwargs)

    return run


@pytest.fixture(scope="session")
def forked():
    """The same for ``fit``, ``test`` and ``predict``, without the seconds in which a process imports everything."""
    return run_forked
