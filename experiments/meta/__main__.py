"""Learning to learn: ``python -m experiments.meta PROBLEM METHOD``; see ``README.md``.

Writes the problem's data into ``build/meta``, trains as the configs of this folder say, and evaluates on the test
episodes. Further flags are those of every ``fit``.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from experiments.meta.data import omniglot, sinusoids
from mtl_lightning.__main__ import main

HERE = Path(__file__).parent
DATA = Path("build", "meta")
LOOPS: dict[str, dict[str, Any]] = {
    "ANIL": {"lr": 1.0, "steps": 5, "eval_steps": 20, "vectorized": "true"},
    "FOMAML": {"lr": 0.003, "head_lr": 1.0, "steps": 5, "eval_steps": 20, "vectorized": "true"},
    "MAML": {"lr": 0.003, "head_lr": 1.0, "steps": 3, "eval_steps": 20},
    "Reptile": {"lr": 0.003, "head_lr": 1.0, "steps": 5, "eval_steps": 20, "vectorized": "true"},
}
"""Inner loops on characters, which start from a run of ``start``."""
PROTOTYPES = {"prototypes": [], "start": [f"--config={HERE / 'start.yaml'}"]}
WAVES = {"train": 3000, "val": 100, "test": 600}


def _characters(method: str, flags: list[str], choosing: bool) -> int:
    folder = DATA / ("omniglot" + "_choosing" * choosing)
    if not (folder / "test.npz").exists():
        omniglot(folder, choosing)
    configs = [f"--config={HERE / 'omniglot.yaml'}", f"--data.datasets.omniglot.root={folder}"]
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
    parser.add_argument(
        "--choosing", action="store_true", help="hold an alphabet out of training, and test on it: to choose settings"
    )
    given, rest = parser.parse_known_args()
    known = [*PROTOTYPES, *LOOPS] if given.problem == "omniglot" else ["MAML", "MetaSGD", "Reptile"]
    if given.method not in known:
        parser.error(f"{given.problem} is measured with {', '.join(known)}")
    if given.problem == "omniglot":
        sys.exit(_characters(given.method, rest, given.choosing))
    sys.exit(_waves(given.method, rest))
