"""Where the time of tests goes: to the test, and the file, whose processes were busy."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from processor_time import ProcessorTime, seconds

BUSY = [sys.executable, "-IS", "-c", "import time\nwhile time.process_time() < 0.3: pass"]


class Lines:
    def __init__(self):
        self.lines = []

    def section(self, title):
        self.lines.append(title)

    write_line = section


def measure(runs, shows, name, test):
    """One plugin is of the process that runs a test, and the other of that which shows what it took."""
    properties = []
    runs.pytest_runtest_setup()
    around = runs.pytest_runtest_teardown(SimpleNamespace(user_properties=properties))
    next(around)
    test()
    with pytest.raises(StopIteration):
        next(around)
    shows.pytest_runtest_logreport(SimpleNamespace(nodeid=name, when="teardown", user_properties=properties))


def test_the_busiest_are_first_with_the_processes_that_they_start():
    runs, shows, shown = ProcessorTime(1), ProcessorTime(1), Lines()
    before = seconds()
    measure(runs, shows, "a.py::idle", lambda: None)
    measure(runs, shows, "b.py::busy", lambda: subprocess.run(BUSY, check=True))
    assert seconds() - before > 0.25
    shows.pytest_terminal_summary(shown)
    tests, busiest, files, file = shown.lines
    assert tests.startswith("processor seconds of tests") and files.startswith("processor seconds of files")
    assert busiest.endswith(" b.py::busy") and file.endswith(" b.py")
    assert float(busiest.split()[0]) > 0.25
