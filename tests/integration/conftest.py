"""Runs the command line as a user does."""

import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from unittest.mock import patch

import pytest
from forked import run as run_forked
from patience import PATIENCE

from mtl_lightning.__main__ import main

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


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


@pytest.fixture(scope="session")
def compare():
    """``python -m mtl_lightning compare …`` in this process; its runs fork from one that has imported everything."""

    def run(*arguments, cwd):
        printed, errors = StringIO(), StringIO()
        with pytest.MonkeyPatch.context() as patched, patch.dict(os.environ):
            patched.chdir(cwd)
            patched.syspath_prepend(cwd)
            with redirect_stdout(printed), redirect_stderr(errors):
                status = main(["compare", *arguments])
        return subprocess.CompletedProcess(arguments, status, printed.getvalue(), errors.getvalue())

    return run


@pytest.fixture(scope="module")
def browser():
    """Chromium, without the services of its maker."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.fail("no browser to open pages in: apt-get install chromium", pytrace=False)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()
