"""Hints of libraries that the user cannot act on are no lines of the output; others are."""

import subprocess
import sys
import warnings

from mtl_lightning.__main__ import main

IDLE = (
    "It is recommended to use `self.log('val/average', ..., sync_dist=True)` when logging on epoch level",
    "The number of training batches (5) is smaller than the logging interval Trainer(log_every_n_steps=50).",
)


def test_idle_hints_are_left_out(capsys):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert main(["fit", "--config=nowhere.yaml"]) == 2
        for text in (*IDLE, "something else"):
            warnings.warn(text, stacklevel=1)
    assert [str(warning.message) for warning in said] == ["something else"]


SCRIPT = """
import os, sys
from mtl_lightning.cli.quiet import keep_standard_output
keep_standard_output()
os.write(1, b"[Gloo] connected\\n")
print("é")
"""


def test_standard_output_holds_what_python_prints():
    ended = subprocess.run([sys.executable, "-X", "utf8", "-c", SCRIPT], capture_output=True, encoding="utf-8")
    assert (ended.stdout, ended.stderr) == ("é\n", "[Gloo] connected\n")


def test_standard_output_may_be_closed():
    ended = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, "\n".join(SCRIPT.splitlines()[:4])])
    assert ended.returncode == 0
