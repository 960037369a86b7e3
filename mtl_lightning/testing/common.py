"""What the checks have in common."""

import io
import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

T = TypeVar("T")


@contextmanager
def seeded() -> Iterator[None]:
    """Random numbers from a fixed seed, and the caller's afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def survives_json(value: Any) -> bool:
    """Whether JSON gives the value back."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


def pickled(value: T) -> T:
    """A copy through pickle."""
    try:
        copied: T = pickle.loads(pickle.dumps(value))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise AssertionError(f"{type(value).__name__} must be picklable: {error}") from error
    return copied


def checkpointed(state: Mapping[str, Any]) -> dict[str, Any]:
    """State as it comes back from a file, read as checkpoints are: without running code."""
    file = io.BytesIO()
    torch.save(dict(state), file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded
