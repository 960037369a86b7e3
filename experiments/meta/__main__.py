"""Learning to learn: ``python -m experiments.meta PROBLEM METHOD``; see ``README.md``.

Writes the problem's data into ``build/meta``, trains as the configs of this folder say, and evaluates on the test
episodes. Further flags are those of every ``fit``.
"""

import argparse
import sys
from pathlib import Path

from experiments.meta.data import omniglot, sinusoids
from mtl_lightning.__main__ import main

HERE = Path(__file__).parent
DATA = Path("build", "meta")
LOOPS: dict[str, dict[str, float]] = {
    "ANIL": {"lr": 0.06, "steps": 8, "eval_steps": 15},
    "FOMAML": {"lr": 0.05, "steps": 5, "eval_steps": 15},
    "MAML": {"lr": 0.05, "steps": 3, "eval_steps": 15},
    "Reptile": {"lr": 0.05, "steps": 5, "eval_steps": 15},
}
"""Inner loops on characters, which start from a run of ``start``."""
PROTOTYPES = {"prototypes": [], "start": [f"--config={HERE / 'start.yaml'}"]}
WAVES = {"train": 3000, "val": 100, "test": 600}


def _characters(method: str, flags: list[str]) -> int:
    if not (DATA / "omniglot" / "test.npz").exists():
        omniglot(DATA / "omniglot")
    configs = [f"--config={HERE / 'omniglot.yaml'}"]
    configs += PROTOTYPES.get(method, [])
    if method in LOOPS:
        options = [f"--model.inner_loop.{name}={value}" for name, value in LOOPS[method].items()]
        configs += [f"--config={HERE / 'inner.yaml'}", f"--model.inner_loop={method}", *options]
    return main(["fit", *configs, *flags])


def _waves(method: str, flags: list[str]) -> int:
    if not (DATA / "sinusoids" / "test.npz").exists():
        sinusoids(DATA / "sinusoids", WAVES, points=50)
    loop = HERE / f"sinusoids_{method.lower()}.yaml"
    return main(["fit", f"--config={HERE / 'sinusoids.yaml'}", f"--config={loop}", *flags])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", choices=["omniglot", "sinusoids"])
    parser.add_argument("method", choices=[*PROTOTYPES, *LOOPS, "MetaSGD"])
    given, rest = parser.parse_known_args()
    known = [*PROTOTYPES, *LOOPS] if given.problem == "omniglot" else ["MAML", "MetaSGD", "Reptile"]
    if given.method not in known:
        parser.error(f"{given.problem} is measured with {', '.join(known)}")
    sys.exit((_characters if given.problem == "omniglot" else _waves)(given.method, rest))
