"""A front of one model beside that of fixed weights."""

from pathlib import Path

import pandas as pd
import pytest

from experiments.multimnist import front

SMALL = [f"--data.datasets.multimnist.{split}=64" for split in ("train", "val", "test")]


def test_one_run_is_asked_for_each_preference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--seeds", "1", "--number", "2", "--cosine", "0.5", "--output", str(tmp_path)]
    front.main([*options, "--", "--trainer.max_epochs=1", *SMALL])
    table = pd.read_csv(tmp_path / "front.csv")
    assert table.groupby("front").size().to_dict() == {"COSMOS, cosine 0.5": 2, "fixed": 2}
    assert len(list(tmp_path.rglob("best.ckpt"))) == 3
    assert (tmp_path / "front.png").stat().st_size > 1000
    assert "hypervolume" in capsys.readouterr().out


def test_a_front_that_is_better_everywhere_dominates_more() -> None:
    points = [((0.3, 0.7), 0.6, 0.9), ((0.7, 0.3), 0.9, 0.6)]
    rows = [
        (name, seed, at, x - less, y - less)
        for name, less in (("fixed", 0.0), ("one", 0.2))
        for seed in (0, 1)
        for at, x, y in points
    ]
    found = front.measured(pd.DataFrame(rows, columns=["front", "seed", "preference", *front.TASKS]))
    volumes = found[found["measure"] == "hypervolume"].set_index("front")
    assert volumes.loc["one", "mean"] < volumes.loc["fixed", "mean"]
    assert volumes.loc["one", "difference"] == pytest.approx(volumes.loc["one", "mean"] - volumes.loc["fixed", "mean"])
