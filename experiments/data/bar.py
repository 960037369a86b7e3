"""The progress bar of downloads."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Bar:
    """How far a number of downloads is.

    Args:
        progress: rich's.
        title: What is downloaded.
        num_files: How many files it has.
    """

    def __init__(self, progress: Progress, title: str, num_files: int) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=num_files, amount="")
        self._num_done, self._bytes = 0, 0

    def within(self, fraction: float, num_bytes: int) -> None:
        """Moves on inside a file.

        Args:
            fraction: Of the file that is there, 0 to 1.
            num_bytes: That have just come.
        """
        self._bytes += num_bytes
        self._progress.update(self._task, completed=self._num_done + fraction, amount=decimal(self._bytes))

    def next(self) -> None:
        """Moves on to the next file."""
        self._num_done += 1
        self._progress.update(self._task, completed=self._num_done)


@contextmanager
def bar(title: str, num_files: int) -> Iterator[Bar]:
    """A progress bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Bar(progress, title, num_files)
