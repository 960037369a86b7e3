"""Keeps off the screen what libraries say and a user of the command line cannot act on."""

import logging
import os
import re
import sys
import warnings

WARNINGS = (
    ".*LeafSpec",  # Lightning 2.6 on torch 2.13
    "Be aware that when using `ckpt_path`, callbacks",  # those of fit
    "Checkpoint directory .* exists and is not empty",  # only where a run is resumed
    "Experiment logs directory",  # older logs are kept under another name
    "The number of training batches .* is smaller than the logging",
    r"It is recommended to use `self\.log\(.*sync_dist",  # scores are those of all processes
    "The `srun` command is available",  # a job in which it was forgotten is refused
    "Couldn't infer the batch indices",  # batches carry them
)
"""Beginnings of their messages, as regular expressions."""

LINES = ("Tip:", "Loading `train_dataloader`", "Initializing distributed: GLOBAL_RANK")
"""Parts of what Lightning logs."""

LOGGERS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.distributed",
    "lightning.fabric.utilities.seed",
)
"""Where it logs that."""

_OF_OTHERS = re.compile(r"\[rank: [1-9]\d*\] Seed set")
"""What all processes say, and the first one too."""


def quieten_libraries() -> None:
    """Filters warnings and log lines, and those of the deprecated names of jsonargparse that Lightning 2.6 calls."""
    for message in WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    logging.raiseExceptions = False  # or a traceback for each line that a library cannot log, on a full disk say
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    for name in LOGGERS:
        if _worth_reading not in (logger := logging.getLogger(name)).filters:
            logger.addFilter(_worth_reading)


def keep_standard_output() -> None:
    """Leaves standard output to Python: what libraries print below it goes to standard error from now on.

    Some releases of gloo say there which processes they have connected, amid the predictions.
    """
    try:
        ours = sys.stdout.fileno() == 1
    except (AttributeError, OSError):  # it is closed, or stands for something else
        return
    if ours:
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        sys.stdout = os.fdopen(
            kept, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, buffering=1 if os.isatty(kept) else -1
        )


def _worth_reading(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(text in message for text in LINES) and not _OF_OTHERS.match(message)
