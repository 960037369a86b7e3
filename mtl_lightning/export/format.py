"""What a format is that a model is exported in."""

from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from mtl_lightning.training.module import MultiTaskModule


class Format(ABC):
    """Writes a trained model in one format.

    Attributes:
        about: What it is, for the help; a line.
        options: The options that it alone takes: arguments of ``argparse.ArgumentParser.add_argument`` by name.
        help: Lines of the help on these options.
    """

    about: ClassVar[str]
    options: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    help: ClassVar[str] = ""

    @abstractmethod
    def export(self, model: MultiTaskModule, folder: Path, given: Namespace) -> int:
        """Writes the files.

        Args:
            model: Loaded from the checkpoint ``given.checkpoint``, in evaluation mode, on the CPU.
            folder: An empty one, which gets its name, ``given.output``, once this returns.
            given: All options by name, as they were given; ``tasks`` is a list of names, or null for all of them.

        Returns:
            The exit status: 0; 1 where what was written is not good enough.

        Raises:
            UserError: If this model cannot be written so; then nothing is left.
        """

    def written(self, given: Namespace) -> int:
        """What follows once the folder is there, such as to publish it; by default, nothing.

        Args:
            given: As of ``export``.

        Returns:
            The exit status.
        """
        return 0
