"""What runs a comparison's runs, whatever it is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from mtl_lightning.compare.planning.plan import Run


@dataclass(frozen=True)
class Ended:
    """A run that has ended.

    Attributes:
        run: Which.
        status: What became of it where it could not write that down: ``timeout``, ``failed``, or nothing.
        message: About that.
        seconds: From its start.
    """

    run: Run
    status: str
    message: str
    seconds: float


class Launcher(ABC):
    """Starts runs and tells when they have ended."""

    @abstractmethod
    def free(self) -> bool:
        """Whether another run may start."""

    @abstractmethod
    def start(self, run: Run, folder: Path) -> None:
        """Starts a run whose folder is prepared."""

    @abstractmethod
    def ended(self, timeout: float) -> list[Ended]:
        """The runs that have ended since; waits for one for so many seconds."""

    @abstractmethod
    def running(self) -> list[Run]:
        """The runs that are under way."""

    @abstractmethod
    def stop(self) -> None:
        """Asks all runs to stop with a checkpoint, and waits for it."""
