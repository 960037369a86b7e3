"""Trains every sharing on small batches made by hand; run as ``python sharings.py FOLDER`` by each process of a group.

One process trains on the joined batches, two processes on uneven parts of them. What each process ends with is written
to ``FOLDER/<number of processes>/<sharing>-<rank>.pt``.
"""

import inspect
import sys
import traceback
from pathlib import Path
from typing import Any

import torch
from methods import DATASETS, METHODS, batches, fit
from quiet import begin

from mtl_lightning import sharing
from mtl_lightning.data import Batch
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.sharing import Sharing

SHARINGS: dict[str, type[Sharing]] = {
    name: value
    for name, value in vars(sharing).items()
    if inspect.isclass(value) and issubclass(value, Sharing) and not inspect.isabstract(value)
}


def main(folder: Path) -> None:
    """Trains all of them, one after another, on one data set a step, so that tasks are missing."""
    world, rank = begin()
    for number, (name, cls) in enumerate(SHARINGS.items()):
        steps = batches(DATASETS, number % 2 == 0, world, rank)
        found: dict[str, Any]
        try:
            terms: dict[str, float] = {}
            if terms_of(cls) != terms_of(cls, 1):
                terms = train(cls, steps, world, folder / str(world) / f"{name} with terms")["terms"]
                cls = type(name, (cls,), {"terms": lambda _: {}})
            found = train(cls, steps, world, folder / str(world) / name)
            found["terms"] |= terms
            found["random"] = is_random(cls)
            found["counted"] = [f"sharing.{buffer}" for buffer, _ in make(cls).named_buffers()]
        except Exception:
            found = {"error": traceback.format_exc()}
        torch.save(found, folder / str(world) / f"{name}-{rank}.pt")


def train(cls: type[Sharing], steps: list[dict[str, Batch]], world: int, folder: Path) -> dict[str, Any]:
    options = {"encoder": PerceptronEncoder(5, [6, 4]), "sharing": cls}
    return fit(METHODS["UPGrad"], options, steps, world, folder, epochs=2)


def make(cls: type[Sharing]) -> Sharing:
    return cls(list("abc"), PerceptronEncoder(5, [6, 4]))


def is_random(cls: type[Sharing]) -> bool:
    """Whether it draws random numbers in training, which each process does for itself."""
    made, before = make(cls), torch.get_rng_state()
    made({"features": torch.ones(4, 5)}, ["a", "b"])
    return not torch.equal(before, torch.get_rng_state())


def terms_of(cls: type[Sharing], seed: int = 0) -> dict[str, float]:
    """The terms for some batch; one that depends on its examples is each process's own."""
    torch.manual_seed(0)
    made = make(cls)
    torch.manual_seed(seed)
    made({"features": torch.randn(4, 5)}, ["a", "b"])
    return {name: float(term.detach()) for name, term in made.terms().items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
