"""One model for all preferences beside a model for each: ``python -m experiments.multimnist.front``."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mtl_lightning.__main__ import main as command
from mtl_lightning.compare.planning.fronts import FIXED_WEIGHTS, point_name, preferences
from mtl_lightning.compare.statistics.fronts import fronts_table
from mtl_lightning.compare.statistics.score_table import ScoreTable

CONFIG = Path(__file__).with_name("config.yaml")
TASKS = ("left", "right")
EPOCHS = 10

Preference = tuple[float, ...]


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains what is not trained yet, and prints and draws the fronts."""
    parser = argparse.ArgumentParser(prog="python -m experiments.multimnist.front", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--number", type=int, default=5, help="of preferences (default: 5)")
    parser.add_argument("--cosine", type=float, nargs="+", default=[0.0, 0.2, 1.0], help="COSMOS's; one front for each")
    parser.add_argument("--longer", action="store_true", help="the one model trains as long as all others together")
    parser.add_argument("--output", type=Path, default=Path("build/multimnist/front"))
    parser.add_argument("flags", nargs="*", help="of `fit`, behind --")
    options = parser.parse_args(arguments)
    wanted = preferences(len(TASKS), options.number)
    rows = []
    for seed in range(options.seeds):
        folder = options.output / f"seed_{seed}"
        for preference in wanted:
            scores = fixed(folder, seed, preference, options.flags)
            rows += [(FIXED_WEIGHTS, seed, preference, *scores)]
        for cosine in options.cosine:
            name = f"COSMOS, cosine {cosine:g}" + (", longer" if options.longer else "")
            longer = [f"--trainer.max_epochs={len(wanted) * EPOCHS}"] if options.longer else []
            found = conditioned(folder / name.replace(" ", "_"), seed, wanted, cosine, [*longer, *options.flags])
            rows += [(name, seed, preference, *scores) for preference, scores in found]
    table = pd.DataFrame(rows, columns=["front", "seed", "preference", *TASKS])
    table.to_csv(options.output / "front.csv", index=False)
    print(table.groupby(["front", "preference"], sort=False)[list(TASKS)].mean().round(4).to_string())
    print(measured(table).round(4).to_string(index=False))
    draw(table, options.output / "front.png")
    print(f"front.csv and front.png are in {options.output}")


def fixed(folder: Path, seed: int, preference: Preference, flags: Sequence[str]) -> list[float]:
    """Test accuracies of a model that was trained with the preference as weights."""
    weights = {task: len(TASKS) * part for task, part in zip(TASKS, preference, strict=True)}
    name = point_name(FIXED_WEIGHTS, preference).replace(" ", "_").replace(":", "_")
    return _fitted(
        folder / name,
        seed,
        ["--model.weighting=FixedWeighting", f"--model.weighting.weights={json.dumps(weights)}", *flags],
    )


def conditioned(
    run: Path, seed: int, wanted: Sequence[Preference], cosine: float, flags: Sequence[str]
) -> Iterator[tuple[Preference, list[float]]]:
    """Test accuracies of one model, asked for each preference."""
    sharing = ["--model.sharing=PreferenceFiLM"]
    weighting = ["--model.weighting=COSMOS", f"--model.weighting.cosine={cosine}"]
    _fitted(run, seed, [*sharing, *weighting, *flags])
    for preference in wanted:
        asked = json.dumps(dict(zip(TASKS, preference, strict=True)))
        file = run / f"{'_'.join(map(str, preference))}.json"
        if not file.exists():
            (checkpoint,) = run.rglob("best.ckpt")
            _run("test", f"--ckpt_path={checkpoint}", f"--model.sharing.preference={asked}", f"--json={file}")
        yield preference, _accuracies(file)


def measured(table: pd.DataFrame) -> pd.DataFrame:
    """What ``compare`` says of fronts, of these."""
    names = {front: list(dict.fromkeys(rows["preference"])) for front, rows in table.groupby("front", sort=False)}
    contestants = {front: [point_name(front, each) for each in of] for front, of in names.items()}
    seeds = sorted(set(table["seed"]))
    by_point = table.groupby(["front", "preference"], sort=False)
    values = np.stack([rows.sort_values("seed")[list(TASKS)].to_numpy() for _, rows in by_point])
    scores = ScoreTable(
        contestants=[name for of in contestants.values() for name in of],
        seeds=seeds,
        tasks=list(TASKS),
        metrics=["accuracy"] * len(TASKS),
        sign=np.ones(len(TASKS)),
        main=np.ones(len(TASKS), dtype=bool),
        values=values,
        finished=np.ones(values.shape[:2], dtype=bool),
        lost=np.zeros(values.shape[:2], dtype=bool),
    )
    return fronts_table(scores, contestants)


def draw(table: pd.DataFrame, file: Path) -> None:
    """Means over seeds, a line a front in the order of its preferences."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for front, rows in table.groupby("front", sort=False):
        means = rows.groupby("preference", sort=False)[list(TASKS)].mean()
        axes.plot(means["left"], means["right"], "o-", label=front, lw=1, ms=5)
    axes.set(xlabel="left: accuracy", ylabel="right: accuracy")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=120)


def _fitted(run: Path, seed: int, flags: Sequence[str]) -> list[float]:
    """Test accuracies of a run, which is trained unless it was before."""
    file = run / "metrics.json"
    if not file.exists():
        brief = ["--wandb=off", "--trainer.enable_progress_bar=false", f"--trainer.default_root_dir={run}"]
        _run("fit", f"--config={CONFIG}", f"--seed_everything={seed}", *brief, *flags, f"--json={file}")
    return _accuracies(file)


def _run(*arguments: str) -> None:
    if (status := command([*arguments])) != 0:
        raise SystemExit(status)


def _accuracies(file: Path) -> list[float]:
    metrics = json.loads(file.read_text("utf-8"))
    return [metrics[task]["accuracy"] for task in TASKS]


if __name__ == "__main__":
    main()
