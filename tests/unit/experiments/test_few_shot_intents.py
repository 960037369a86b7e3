"""The map of features for intents of new domains: its beginning, its folds, and the comparison."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.meta import clinc
from experiments.meta.residual import ResidualMap


def test_a_residual_map_begins_as_the_identity_on_unit_vectors() -> None:
    values = torch.randn(5, 8)
    for hidden in (0, 16):
        made = ResidualMap(8, hidden).eval()({"features": values}).pooled
        torch.testing.assert_close(made, values / values.norm(dim=-1, keepdim=True))


def test_domains_are_held_out_in_turn_and_out_of_scope_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"text {i}\tintent {i % 20}\tdomain {i % 20 // 2}" for i in range(60)]
    Path("train.tsv").write_text("text\tintent\tdomain\n" + "\n".join([*lines, "what\toos\toos"]) + "\n")
    monkeypatch.setattr(clinc, "features", lambda model, texts: np.arange(len(texts), dtype=np.float32)[:, None])
    clinc.write_folds("model", Path("train.tsv"))
    held_out = []
    for fold in range(clinc.FOLDS):
        with (
            np.load(clinc.DATA / str(fold) / "train.npz") as train,
            np.load(clinc.DATA / str(fold) / "test.npz") as test,
        ):
            assert sorted([*train["features"].ravel(), *test["features"].ravel()]) == list(range(60))
            assert not set(train["domain"]) & set(test["domain"])
            held_out += sorted(set(test["domain"]))
    assert sorted(held_out) == sorted(f"domain {i}" for i in range(10))

    def fit(arguments: list[str]) -> int:
        file = next(word for word in arguments if word.startswith("--json=")).removeprefix("--json=")
        score = 0.7 if "as_they_are" in file else 0.71 + 0.01 * int(Path(file).parent.name)
        Path(file).write_text(json.dumps({"intent": {"accuracy": score}}))
        return 0

    monkeypatch.setattr(clinc, "main", fit)
    assert clinc.compare([]).splitlines()[-1] == "mean        70.00    73.00       +3.00 (+1.04 to +4.96)"
