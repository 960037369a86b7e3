"""``python -m mtl_lightning serve``: predictions over HTTP."""

import os
from collections.abc import Sequence
from functools import partial
from ipaddress import ip_address

from mtl_lightning.errors import UserError
from mtl_lightning.serve.options import HELP, KEY, Options, parsed
from mtl_lightning.terminal import say
from mtl_lightning.terminal.commands import run_command


def run(arguments: Sequence[str]) -> int:
    """Runs ``serve`` and prints a mistake in the input as one line.

    Args:
        arguments: After ``serve``.

    Returns:
        The exit status: 0 where it was asked to stop; 1 where one of its processes has ended; 2 for a mistake in
        the input.
    """
    return run_command(arguments, HELP, partial(_serve, arguments))


def _serve(arguments: Sequence[str]) -> int:
    options = parsed(arguments)
    if options.model not in ("best", "last") and not os.path.lexists(options.model):
        raise UserError(
            f"no file or folder {options.model}; "
            "give one that `export --format onnx` wrote, a checkpoint, or a run's folder"
        )
    try:
        from mtl_lightning.serve.running import answer, listening, started
    except ModuleNotFoundError as error:
        raise UserError(f"serve needs {error.name}: pip install 'mtl-lightning[serve]'") from error
    with listening(options) as place, started(options) as served:
        tasks = ", ".join(served.spec.schema.catalogue.tasks)
        host, port = place.getsockname()[:2]
        say(f"Serving {tasks} of {options.model} on {_address(options, port)}")
        if not (options.key or ip_address(host.partition("%")[0]).is_loopback):
            say(f"Whoever reaches this machine may ask: no {KEY} is set", error=True)
        is_asked = answer(served, options, place)
        metrics = served.spec.metrics
    if not is_asked:
        say("error: a process of the server has ended, out of memory perhaps; start again", error=True)
        return 1
    say(f"Stopped; {metrics.answered:,} of {metrics.accepted:,} accepted requests were answered")
    return 0


def _address(options: Options, port: int) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{port}"
