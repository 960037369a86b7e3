"""Takes examples from a stream, and can say where it stands."""

from collections.abc import Mapping
from copy import deepcopy
from itertools import islice
from typing import Any

from datasets import IterableDataset
from datasets.exceptions import DatasetsError

from mtl_lightning.errors import UserError


class StreamReader:
    """Reads a stream that begins anew when it ends.

    Args:
        examples: The stream.

    Attributes:
        taken: Number of examples taken so far, all turns together.
    """

    def __init__(self, examples: IterableDataset) -> None:
        self._examples = examples
        self.restore({"turn": 0, "taken": 0, "position": examples.state_dict()})

    def take(self, number: int) -> list[dict[str, Any]]:
        """The next examples.

        Raises:
            UserError: If the stream holds none, or breaks off.
        """
        found = self._read(number)
        while len(found) < number:
            self._turn += 1
            self._examples.set_epoch(self._turn)
            self._rows = iter(self._examples)
            more = self._read(number - len(found))
            if not more:
                raise UserError("the stream holds no examples")
            found += more
        return found

    def of_this_turn(self, number: int) -> list[dict[str, Any]]:
        """The next examples of this turn, fewer at its end, and none after it.

        Raises:
            UserError: If the stream breaks off.
        """
        return self._read(number) if number > 0 else []

    def state(self) -> dict[str, Any]:
        """Where it stands, for a checkpoint: in which turn, after how many examples, and where in the source."""
        return {"turn": self._turn, "taken": self.taken, "position": self._position}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Stands where another reader of the same stream stood."""
        self._turn, self.taken, self._position = state["turn"], state["taken"], state["position"]
        self._examples.set_epoch(self._turn)
        self._examples.load_state_dict(deepcopy(self._position))
        self._rows = iter(self._examples)

    def _read(self, number: int) -> list[dict[str, Any]]:
        """The next examples of this turn, fewer at its end."""
        try:
            found = list(islice(self._rows, number))
        except (DatasetsError, OSError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            reason = " ".join(str(error.__cause__ or error).split())[:300]
            raise UserError(f"the stream breaks off after {self.taken:,} examples: {reason}") from error
        self.taken += len(found)
        self._position = self._examples.state_dict()
        return found
