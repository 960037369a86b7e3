"""What this process has exchanged with others in training."""

from dataclasses import dataclass

from mtl_lightning.communication.exchanges import Exchange, Kind


@dataclass
class Traffic:
    """Counts collective operations on the device where training runs, on the host and without asking the device.

    Attributes:
        exchanges: How many.
        bytes: What a process sends in them, in the mean over processes; see :meth:`.Exchange.sent`.
    """

    exchanges: int = 0
    bytes: float = 0.0

    def count(self, kind: Kind, size: int, num_processes: int) -> None:
        """Counts one, of so many bytes."""
        self.exchanges += 1
        self.bytes += Exchange(kind, size).sent(num_processes)


TRAFFIC = Traffic()
"""Of this process, since it began."""
