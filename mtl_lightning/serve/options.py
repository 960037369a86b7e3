"""The options of ``serve``."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from mtl_lightning.errors import UserError
from mtl_lightning.paths import expanded
from mtl_lightning.terminal.commands import OptionParser

KEY = "MTL_API_KEY"
"""Environment variable of the key that requests must bring; arguments of a command are seen by other users."""

HELP = f"""\
usage: mtl-lightning serve FOLDER|RUN [--KEY VALUE ...]

Answers requests for predictions over HTTP. A folder that `export --format onnx` wrote needs no torch.

  POST /predict   {{"text": "some jazz, please", "tasks": ["intent"]}}, or {{"inputs": {{"tokens": [...]}}}}
  GET  /tasks     tasks with their labels and inputs
  GET  /health    200 once predictions can be had
  GET  /metrics   requests, latency, sizes of batches and the queue, for Prometheus
  GET  /          a page to try the model by hand

options:
  FOLDER|RUN              an exported model, a checkpoint, a run's folder, or best: the last run of --name
  --host ADDRESS          where to listen (default: 127.0.0.1, this machine alone); 0.0.0.0: wherever it is reached
  --port N                (default: 8000); 0: any that is free
  --batch_size N          inputs that are computed at once, at most (default: 32)
  --batch_wait SECONDS    how long a request waits for others while nothing is computed (default: 0.005)
  --max_waiting N         requests that may wait; the next one is answered 429 (default: 256)
  --timeout SECONDS       after which a request that has no answer is answered 504 (default: 30)
  --max_text N            characters of an input that is no file, at most (default: 20000)
  --max_bytes N           of a request, at most (default: 1000000)
  --max_pixels N          of an image, at most (default: 25000000)
  --max_samples N         of a sound, at most, at the model's rate too (default: 2000000: 2 minutes at 16 kHz)
  --max_connections N     that may be open; the next one is answered 429 and closed (default: 512)
  --threads N             that compute (default: as many as there are cores)
  --name NAME             of the run (default: run)
  --trust_classes NAMES   classes or modules, separated by commas, that somebody else's checkpoint may import

{KEY}, an environment variable, is the key that requests must then bring: `Authorization: Bearer KEY`.
SIGTERM and Ctrl-C refuse new requests, answer those that were accepted, and end with status 0.
"""


@dataclass(frozen=True)
class Options:
    """What to serve, and how; the fields are those of :data:`HELP`.

    Attributes:
        key: Which requests must bring; empty: none.
    """

    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    batch_size: int = 32
    batch_wait: float = 0.005
    max_waiting: int = 256
    timeout: float = 30.0
    max_text: int = 20_000
    max_bytes: int = 1_000_000
    max_pixels: int = 25_000_000
    max_samples: int = 2_000_000
    max_connections: int = 512
    threads: int | None = None
    name: str = "run"
    trust_classes: str = ""
    key: str = ""


_COUNTS = (
    *("batch_size", "threads", "max_waiting", "max_connections"),
    *("max_text", "max_bytes", "max_pixels", "max_samples"),
)


def parsed(arguments: Sequence[str]) -> Options:
    """The options.

    Raises:
        UserError: If one is not understood.
    """
    parser = OptionParser("serve")
    parser.add_argument("model", metavar="FOLDER|RUN")
    for name in ("host", "name", "trust_classes"):
        parser.add_argument(f"--{name}", default=getattr(Options, name))
    for name in ("port", *_COUNTS):
        parser.add_argument(f"--{name}", type=int, default=getattr(Options, name))
    for name in ("batch_wait", "timeout"):
        parser.add_argument(f"--{name}", type=float, default=getattr(Options, name))
    found = Options(**vars(parser.parse_args(list(arguments))), key=_key())
    _check(found)
    return Options(**{**vars(found), "model": expanded(found.model, "FOLDER|RUN")})


def _check(given: Options) -> None:
    for name in _COUNTS:
        if (number := getattr(given, name)) is not None and number < 1:
            raise UserError(f"--{name} must be at least 1, found {number}")
    if not 0 <= given.port < 65536:
        raise UserError(f"--port must be from 0 to 65535, found {given.port}")
    if not (math.isfinite(given.timeout) and given.timeout > 0):
        raise UserError(f"--timeout must be more than 0 seconds, found {given.timeout:g}")
    if not 0 <= given.batch_wait < given.timeout:
        raise UserError(
            f"--batch_wait must be at least 0 and less than --timeout ({given.timeout:g}), found {given.batch_wait:g}"
        )


def _key() -> str:
    key = os.environ.get(KEY, "")
    if not key and KEY in os.environ:
        raise UserError(f"{KEY} is set to nothing, so that anybody could ask; give it a key, or unset it")
    if key != key.strip() or not key.isascii() or not key.isprintable():
        raise UserError(f"{KEY} must be of printable ASCII characters, without spaces at its ends: a header holds it")
    return key
