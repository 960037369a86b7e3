"""A new run starts from a trained model: its encoder, and the heads as far as their labels fit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

import mtl_lightning
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.encoders.vocabularies import difference
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import MultiLabelClassification, Regression, SequenceClassification, Task
from mtl_lightning.training.module import MultiTaskModule

INPUTS = {"features": torch.randn(6, 3, generator=torch.Generator().manual_seed(0))}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: Any) -> Iterator[Path]:
    """The folder of a run."""
    folder: Path = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tiny.write(folder)
        assert tiny.fit("source", "--evaluate=none") == 0
        yield folder / "source"


def started(trained: Path, *, hidden: int = 4, **tasks: Task) -> MultiTaskModule:
    module = MultiTaskModule(PerceptronEncoder(3, [hidden]), dict(tasks))
    module.start_from(trained)
    module.build()
    return module.eval()


def logits(module: MultiTaskModule, task: str) -> torch.Tensor:
    with torch.no_grad():
        return module(INPUTS)[task]


def test_the_same_labels_are_taken_whole(trained: Path, caplog: Any) -> None:
    module = started(trained, cls=SequenceClassification(["p", "q"]))
    before = mtl_lightning.load(trained / "checkpoints" / "best.ckpt")
    assert logits(module, "cls").equal(logits(before, "cls"))
    assert "encoder  16 of 16 parameters" in caplog.text
    assert "cls      all 2 labels" in caplog.text


def test_labels_are_taken_by_name_and_others_are_fresh(trained: Path, caplog: Any) -> None:
    module = started(trained, cls=SequenceClassification(["q", "new", "p"]), tags=MultiLabelClassification(["a", "b"]))
    before = mtl_lightning.load(trained / "checkpoints" / "best.ckpt")
    torch.testing.assert_close(logits(module, "cls")[:, [2, 0]], logits(before, "cls"))
    assert "2 of 3 labels; fresh: 'new'" in caplog.text
    assert "tags     fresh, the checkpoint has no such task" in caplog.text
    fresh = MultiTaskModule(PerceptronEncoder(3, [4]), {"cls": SequenceClassification(["q", "new", "p"])})
    fresh.build()
    assert module.heads["cls"].head.weight[1].equal(fresh.heads["cls"].head.weight[1])  # type: ignore[union-attr]


def test_a_regression_of_another_spread_predicts_the_same(trained: Path) -> None:
    module = started(trained, reg=Regression(mean=1e6, std=50.0))
    before = mtl_lightning.load(trained / "checkpoints" / "best.ckpt")
    values = [
        torch.tensor([row["value"] for row in part.tasks["reg"].decode(logits(part, "reg"), None)]).double()
        for part in (module, before)
    ]
    torch.testing.assert_close(*values, rtol=0, atol=0.1)  # float32 around a million


def test_other_labels_and_other_kinds_of_task_are_fresh(trained: Path, caplog: Any) -> None:
    started(trained, cls=SequenceClassification(["x", "y"]))
    assert "fresh, it has no label in common" in caplog.text
    started(trained, cls=MultiLabelClassification(["p", "q"]))
    assert "fresh, it was a SequenceClassification" in caplog.text


def test_a_built_model_takes_over_at_once(trained: Path) -> None:
    module = MultiTaskModule(PerceptronEncoder(3, [4]), {"cls": SequenceClassification(["p", "q"])})
    module.build()
    module.start_from(trained)
    before = mtl_lightning.load(trained / "checkpoints" / "best.ckpt")
    assert logits(module.eval(), "cls").equal(logits(before, "cls"))


def test_another_encoder_is_refused(trained: Path) -> None:
    with pytest.raises(
        UserError, match=r"init_from: encoder\.layers\.0\.weight has the shape \[4, 3\] .* here \[5, 3\]"
    ):
        started(trained, hidden=5, cls=SequenceClassification(["p", "q"]))


def test_on_the_command_line(trained: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(trained.parent)
    run = str(tmp_path / "run")
    more = ["--model.tasks.tags=MultiLabelClassification", "--data.datasets.d.labels={cls: x, reg: y, tags: z}"]
    start = f"--init_from={trained}"
    assert tiny.fit(run, start, *more, "--trainer.max_epochs=1", "--model.optimizer.lr=0", "--json=fit.json") == 0
    assert "tags" in json.loads(Path("fit.json").read_text())
    states = [
        torch.load(f / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        for f in (trained, tmp_path / "run")
    ]
    assert all(value.equal(states[1][name]) for name, value in states[0].items() if "weighting" not in name)
    assert tiny.fit(f"{run}2", "--init_from=train.jsonl") == 2
    assert "error: train.jsonl is not a readable checkpoint" in capsys.readouterr().err
    assert tiny.fit(run, start, f"--ckpt_path={run}", *more) == 2
    assert "--init_from starts a new run and --ckpt_path resumes one" in capsys.readouterr().err
    config = Path(run, "config.yaml")
    assert f"init_from: {trained / 'checkpoints' / 'best.ckpt'}" in config.read_text()
    config.write_text(config.read_text().replace(str(trained), "gone"))
    assert (
        mtl_lightning.__main__.main(["fit", f"--config={config}", f"--ckpt_path={run}", "--trainer.max_epochs=2"]) == 0
    )


def tokenizer(*tokens: str, **steps: Any) -> dict[str, str]:
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return {"tokenizer.json": json.dumps({"model": {"vocab": vocabulary}, "added_tokens": [], **steps})}


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (tokenizer("a", "b", truncation={"max_length": 3}), None),
        (tokenizer("b", "a"), "the token 'a' is number 0 there, 1 here"),
        (tokenizer("a", "c"), "the token 'b' is number 1 there, unknown here"),
        (tokenizer("a", "b", "c"), "it knows 2 tokens, this one 3"),
        (tokenizer("a", "b", normalizer={"type": "Lowercase"}), "it has another normalizer"),
        ({}, None),
    ],
    ids=["same", "order", "tokens", "size", "lower case", "none"],
)
def test_how_two_tokenizers_differ(other: dict[str, str], expected: str | None) -> None:
    assert difference(tokenizer("a", "b"), other) == expected
