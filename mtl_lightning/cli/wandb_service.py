"""The end of a run in Weights & Biases, whose service may have died or may not answer."""

import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from mtl_lightning.callbacks import careful_loggers
from mtl_lightning.callbacks.careful_loggers import at_most, left_out, reason

_LOG = logging.getLogger(__name__)


def finish_wandb(loggers: Sequence[Logger]) -> None:
    """Ends the run of Weights & Biases, if there is one, so that all it logged is written.

    How the run itself has ended stays as it is, whatever happens here: a failure is a warning, and so is a Ctrl-C by
    somebody who does not wait for an upload. Offline, the service has to answer in time; an upload takes its time.

    Args:
        loggers: Of the run; of one that has failed a warning was given.
    """
    wandb = sys.modules.get("wandb")
    if wandb is None or wandb.run is None:
        return
    offline, folder = wandb.run.offline, Path(getattr(wandb.run, "dir", "."))
    try:
        with at_most(careful_loggers.PATIENCE if offline else 0):
            wandb.finish()
        if offline and not folder.exists():
            _LOG.warning(f"Weights & Biases: what was logged is gone: {folder.parent} was removed during the run")
    except (Exception, KeyboardInterrupt) as error:
        if not any(map(left_out, loggers)):
            _LOG.warning(f"Weights & Biases may miss the end of this run: {reason(error)}")
        end_service(wandb)


def end_service(wandb: Any) -> None:
    """Ends a service that is broken or does not answer; the process would wait for it, or fail, when it exits."""
    with suppress(AttributeError):  # there is no public way to it
        process = wandb.setup()._connection._proc._process
        process.kill()
        process.wait()
    for end in (wandb.finish, wandb.teardown):
        with suppress(Exception, SystemExit), at_most(careful_loggers.PATIENCE):
            end()
    with suppress(AttributeError):
        wandb.sdk.lib.module.unset_globals()  # where `finish` has not come so far
