"""How a process is asked to stop, and what it does when another one ends. Nothing heavy: the light front needs it."""

from mtl_lightning.stopping.children import as_worker, follow_parent, followed, held_back, released
from mtl_lightning.stopping.deaths import PeerFailedError, ProcessDiedError, death, of_what, peer_failure, peer_is_gone
from mtl_lightning.stopping.signals import NUMBERS, SIGNALS, Interrupted, Signals
from mtl_lightning.stopping.watch import name_of

__all__ = [
    "NUMBERS",
    "SIGNALS",
    "Interrupted",
    "PeerFailedError",
    "ProcessDiedError",
    "Signals",
    "as_worker",
    "death",
    "follow_parent",
    "followed",
    "held_back",
    "name_of",
    "of_what",
    "peer_failure",
    "peer_is_gone",
    "released",
]
