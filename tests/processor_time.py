"""Which tests cost the most processor time, that of the processes which they start included: ``--slowest``.

A fixture that several tests share counts with the first that asks for it. Unlike seconds on the clock, these do not
depend on what else the machine does.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest

PROPERTY = "processor seconds"


def seconds() -> float:
    """Of the processor, so far: by this process, by those below it, and by those that these have waited for."""
    this, total = psutil.Process(), 0.0
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.Error):  # it has ended
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


class ProcessorTime:
    """A plugin of pytest, for the processes that run tests and for the one that hands them out.

    Args:
        number: How many tests, and how many files, are shown.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._tests: Counter[str] = Counter()
        self._begun = 0.0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """A test begins, with what is set up for it."""
        self._begun = seconds()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[Any]:
        """The report of its end takes along what it took."""
        result = yield
        item.user_properties.append((PROPERTY, seconds() - self._begun))
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps what a test took."""
        if report.when == "teardown":
            self._tests[report.nodeid] += dict(report.user_properties)[PROPERTY]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Prints tests and files, the longest first."""
        files: Counter[str] = Counter()
        for name, spent in self._tests.items():
            files[name.partition("::")[0]] += spent
        for title, found in (("tests", self._tests), ("files", files)):
            terminalreporter.section(f"processor seconds of {title}, {found.total():.0f} in all")
            for name, spent in found.most_common(self._number):
                terminalreporter.write_line(f"{spent:8.2f} {name}")
