"""Where the lines of a prediction go."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from mtl_lightning.cli.outputs import Output
from mtl_lightning.writing import CannotWriteError, writing


class LineOutput:
    """A file, which has ``.partial`` behind its name until it is whole; or standard output.

    Args:
        path: Of the file; ``-``: standard output.

    Attributes:
        num_lines: Written so far.
    """

    def __init__(self, path: str) -> None:
        self._output = None if path == "-" else Output(path, "--output")
        self._file = sys.stdout if self._output is None else self._output.file
        self._name = "standard output" if self._output is None else path
        self.num_lines = 0

    @property
    def place(self) -> str:
        """Where the lines are that were written before an end that came too soon, for messages."""
        return "written" if self._output is None else f"in {self._output.partial}"

    def write(self, lines: Sequence[str]) -> None:
        """Writes lines, which their reader gets at once.

        Raises:
            CannotWriteError: If the file refuses them.
            BrokenPipeError: If nobody reads standard output any more.
        """
        with self._explained():
            for line in lines:
                self._file.write(line + "\n")
                self.num_lines += 1
            self._file.flush()

    def finish(self) -> None:
        """What was written is all."""
        with self._explained():
            self._file.flush()
            if self._output is not None:
                self._output.finish()

    def leave(self) -> None:
        """Keeps what was written, which is not all."""
        with suppress(OSError):
            self._file.flush()
            if self._output is not None:
                self._file.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Makes :class:`UserError` of what a file refuses; that nobody reads standard output is no mistake."""
        try:
            with writing(self._name, "--output"):
                yield
        except CannotWriteError as error:
            if isinstance(error.__cause__, BrokenPipeError) and self._output is None:
                raise error.__cause__ from None
            raise
