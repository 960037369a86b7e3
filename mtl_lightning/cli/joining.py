"""How a command joins the processes that were started with it."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from mtl_lightning.checkpoints.identity import identity
from mtl_lightning.cli.devices import processes_to_use
from mtl_lightning.cli.ending import Ending
from mtl_lightning.cli.world import STARTED_BY, of_nodes

_OF_GLOO = timedelta(minutes=30)
"""What Lightning's strategies have by default."""


def joined(ending: Ending, trainer: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, int]:
    """The Trainer's numbers of devices and nodes where they follow from what has started this process.

    Args:
        ending: Knows what that is, and learns of other nodes on which a user has started the command.
        trainer: Arguments of the Trainer.
        environ: The environment.

    Raises:
        UserError: If they contradict each other.
    """
    numbers = processes_to_use(trainer, ending.world, environ)
    if trainer["num_nodes"] > 1 and ending.world is None and STARTED_BY not in environ:
        ending.begin(of_nodes(trainer["num_nodes"], environ))
    return numbers


def met(ending: Ending, strategy: Any, card: Mapping[str, Any], folder: str | None) -> str | None:
    """Waits for the other processes, if there are some; returns the run's folder that the first one has chosen.

    Args:
        ending: Knows where they meet.
        strategy: Of the Trainer, as configured, whose time-out holds here, too.
        card: What must be the same in all.
        folder: What this process has chosen.

    Raises:
        UserError: If one does not come, or was started in another way.
    """
    if ending.meeting is None:
        return None
    timeout = getattr(strategy, "init_args", {}).get("timeout")
    if isinstance(timeout, timedelta) and timeout != _OF_GLOO:
        ending.meeting.timeout = timeout.total_seconds()
    found = ending.meeting.agree({**card, "folder": folder, "port": ending.meeting.free_port()})
    if found["port"] is not None:
        os.environ |= {"MASTER_PORT": str(found["port"]), "TORCHELASTIC_USE_AGENT_STORE": "False"}
    chosen: str | None = found["folder"]
    return chosen


def same_checkpoint(ending: Ending, path: str | None) -> None:
    """Makes sure that the other processes load the same checkpoint, if there are some.

    Args:
        ending: Knows where they meet.
        path: Of the checkpoint; null if there is none.

    Raises:
        UserError: If one of them has another one, in a folder of its own machine say.
    """
    if ending.meeting is not None:
        ending.meeting.compare_checkpoints(identity(path))


def wait_for_all(ending: Ending, seconds: float) -> None:
    """Waits until the other processes, if there are some, are about to join: one that has failed never would.

    Args:
        ending: Knows where they meet.
        seconds: That one may keep the others waiting.

    Raises:
        UserError: If one has failed, or does not come.
    """
    if ending.meeting is not None:
        ending.meeting.timeout = seconds
        ending.meeting.wait_for_all()
