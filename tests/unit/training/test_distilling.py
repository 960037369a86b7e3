"""Tasks that learn from teachers beside their labels: what the loss is, what counts, and what a run keeps of it."""

import copy
import json
import logging
import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import yaml
from lightning.pytorch import Trainer
from test_training_options import Gradients, batch, fit
from torch import Tensor
from torch.optim import AdamW

from mtl_lightning import load
from mtl_lightning.compare.planning.configs import restricted
from mtl_lightning.data import Batch, FileSource, MultiTaskDataModule
from mtl_lightning.data.shares import Drawn, shares_of
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import MultiLabelClassification, Regression, SequenceClassification
from mtl_lightning.training.distilling import Distillation
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.training.resumed_config import resumed_with
from mtl_lightning.weighting import EqualWeighting, UPGrad

TEACHER = {
    "model": {
        "encoder": {"class_path": "PerceptronEncoder", "init_args": {"in_features": 5, "hidden": [7]}},
        "tasks": {
            "a": {"class_path": "Regression", "init_args": {"mean": 2.0, "std": 3.0}},
            "b": {"class_path": "SequenceClassification", "init_args": {"labels": ["z", "x", "y"]}},
            "c": {"class_path": "Regression", "init_args": {"mean": 0.0, "std": 1.0}},
        },
    },
    "data": {},
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of a model with random weights, which drops out in training."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.ckpt"
    torch.manual_seed(7)
    tasks = {"a": Regression(2.0, 3.0), "b": SequenceClassification(["z", "x", "y"]), "c": Regression(0.0, 1.0)}
    model = MultiTaskModule(PerceptronEncoder(5, [7]), tasks)
    model.build()
    model.keep_config(TEACHER)
    model.save(path)
    return str(path)


def student(distil: Distillation | None, tasks: Any = None, weighting: Any = EqualWeighting) -> MultiTaskModule:
    """The same weights each time."""
    torch.manual_seed(1)
    tasks = tasks or {
        "a": Regression(0.0, 1.0, dropout=0.0),
        "b": SequenceClassification(["x", "y", "z"], dropout=0.0),
        "c": Regression(0.0, 1.0, dropout=0.0),
    }
    module = MultiTaskModule(
        PerceptronEncoder(5, [6, 4]), tasks, weighting, optimizer=partial(AdamW, lr=0.02), distil=distil
    )
    module.build()
    return module.to(torch.float64)


def taught_batch(number: int = 0, missing: int = 2) -> dict[str, Batch]:
    """Six examples, of which the first ``missing`` have no label of `b`."""
    (part,) = batch(number).values()
    part.targets["b"][:missing] = -100
    counts = {**part.counts, "b": 6 - missing}
    shares = {name: share for name, share in part.shares.items() if counts[name]}
    return {"all": part._replace(counts=counts, shares=shares, soft_shares=dict.fromkeys("abc", 1.0))}


def gradients(module: MultiTaskModule, *steps: dict[str, Batch], **options: Any) -> dict[str, Tensor]:
    found = Gradients()
    fit(module, list(steps), found, **options)
    return {name: gradient for name, gradient in found.found.items() if gradient is not None}


@pytest.mark.parametrize("missing", [0, 2, 6])
def test_the_gradient_is_that_of_labels_and_teacher(teacher: str, missing: int) -> None:
    """Of the bias of a linear head it has a closed form; those without labels learn from the teacher alone."""
    step, options = taught_batch(missing=missing), Distillation(teacher, temperature=2.0, weight=0.3)
    module, (part,) = student(options), step.values()
    logits = {name: each.detach() for name, each in module(part.inputs).items()}
    of_teacher = load(teacher).double()(part.inputs)
    found = gradients(module, step)
    soft = 2 * ((logits["b"] / 2).softmax(1) - (of_teacher["b"][:, [1, 2, 0]] / 2).softmax(1)).mean(0)
    hard = (logits["b"].softmax(1) - torch.nn.functional.one_hot(part.targets["b"].clamp(min=0), 3))[missing:]
    hard = hard.sum(0) / max(6 - missing, 1)
    torch.testing.assert_close(found["heads.b.head.bias"], 0.3 * soft + 0.7 * hard)
    taught = of_teacher["a"][:, 0] * 3 + 2
    expected = 2 * (logits["a"][:, 0] - 0.3 * taught - 0.7 * part.targets["a"]).mean(0, keepdim=True)
    torch.testing.assert_close(found["heads.a.head.bias"], expected)


@pytest.mark.parametrize("weighting", [EqualWeighting, UPGrad])
def test_a_teacher_of_no_weight_changes_nothing(teacher: str, weighting: Any) -> None:
    plain = gradients(student(None, weighting=weighting), taught_batch())
    found = gradients(student(Distillation(teacher, weight=0.0), weighting=weighting), taught_batch())
    assert plain.keys() == found.keys()
    for name, expected in plain.items():
        torch.testing.assert_close(found[name], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("weighting", [EqualWeighting, UPGrad])
def test_two_data_sets_without_labels_learn_from_a_teacher(teacher: str, weighting: Any) -> None:
    """All batches of a step count before a task's gradient is complete, those without a label too."""
    parts = [next(iter(taught_batch(number, missing=6).values())) for number in (0, 1)]
    halves = [part._replace(soft_shares=dict.fromkeys("abc", 0.5)) for part in parts]
    halves = [part._replace(shares=dict.fromkeys(part.shares, 0.5)) for part in halves]
    found = gradients(student(Distillation(teacher), weighting=weighting), dict(zip("xy", halves, strict=True)))
    each = [gradients(student(Distillation(teacher)), {"x": part}) for part in parts]
    name = "heads.b.head.bias"
    torch.testing.assert_close(found[name], sum(one[name] for one in each) / 2)


def test_features_come_near_the_teacher_s(teacher: str) -> None:
    step = taught_batch()
    module, (part,) = student(Distillation(teacher, weight=0.0, features=2.0)), step.values()
    found = gradients(module, step, max_epochs=1)
    fresh = student(Distillation(teacher, weight=0.0, features=2.0))
    theirs = load(teacher).double().encoder(part.inputs).pooled
    fit(fresh, [step], max_epochs=0)  # builds the maps
    linear = fresh.supervision.maps["a"].double()  # type: ignore[union-attr]
    errors = linear(student(None).encoder(part.inputs).pooled) - theirs
    torch.testing.assert_close(found["supervision.maps.a.bias"], 2 * 2 * errors.mean(0) / theirs.shape[1])
    groups = {group["name"]: len(group["params"]) for group in module.parameter_groups()}
    assert groups["heads"] == 6 + 6
    assert [len(module.supervision.own_parameters(name)) for name in "abc"] == [2, 2, 2]


def test_the_teacher_is_no_part_of_the_model(teacher: str) -> None:
    module = student(Distillation(teacher))
    names = list(module.state_dict())
    trainer = fit(module, [taught_batch()])
    assert list(module.state_dict()) == names
    (held,) = {id(each.model): each.model for each in module.supervision._teachers.values()}.values()  # type: ignore[union-attr]
    assert not held.training and not any(parameter.requires_grad for parameter in held.parameters())
    assert next(held.parameters()).dtype == torch.float64
    known = {id(parameter) for group in trainer.optimizers[0].param_groups for parameter in group["params"]}
    assert not known & {id(parameter) for parameter in held.parameters()}
    for name, value in load(teacher).double().state_dict().items():
        assert not isinstance(value, Tensor) or torch.equal(value, held.state_dict()[name])
    assert copy.deepcopy(module).supervision._teachers is None  # type: ignore[union-attr]
    assert len(pickle.dumps(module.supervision)) < 2000


def test_a_teacher_reads_a_batch_once(teacher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, calls = student(Distillation({"a": teacher, "b": teacher})), []
    outputs = MultiTaskModule.outputs
    monkeypatch.setattr(
        MultiTaskModule, "outputs", lambda self, inputs, tasks: calls.append([*tasks]) or outputs(self, inputs, tasks)
    )
    fit(module, [taught_batch()])
    assert calls == [["a", "b"]]


def test_tasks_that_it_cannot_teach_learn_from_labels_alone(teacher: str, caplog: Any) -> None:
    tasks = {"a": Regression(0.0, 1.0, dropout=0.0), "b": MultiLabelClassification(["x", "y"])}
    with caplog.at_level(logging.INFO):
        fit(student(Distillation(teacher), tasks), [batch(0, "a")])
    assert "task 'b' learns from labels alone: the teacher's is a SequenceClassification, not a Multi" in caplog.text
    assert f"  a  {Path(teacher).resolve()}" in caplog.text


@pytest.mark.parametrize(
    ("given", "tasks", "message"),
    [
        ({"b": "{}"}, {"b": SequenceClassification(["x", "y"])}, r"distil.teacher.b: the teacher knows the label 'z'"),
        (
            "{}",
            {"d": Regression(0.0, 1.0)},
            r"can teach none of the tasks; 'd': .* has no such task; it has a, b, c",
        ),
        ({"e": "{}"}, {"a": Regression(0.0, 1.0)}, r"distil.teacher: unknown task 'e'; "),
        ({"a": "gone"}, {"a": Regression(0.0, 1.0)}, r"distil.teacher.a: no file or folder gone; give a checkpoint"),
    ],
    ids=["labels", "none", "unknown", "gone"],
)
def test_a_teacher_that_does_not_fit_is_refused(teacher: str, given: Any, tasks: Any, message: str) -> None:
    filled = {n: p.format(teacher) for n, p in given.items()} if isinstance(given, dict) else given.format(teacher)
    with pytest.raises(UserError, match=message):
        fit(student(Distillation(filled), tasks), [batch(0, "a")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, r"temperature must be above 0, found 0"),
        ({"weight": 1.5}, r"weight must lie between 0 and 1, found 1.5"),
        ({"features": -1.0}, r"features must be at least 0, found -1"),
        ({"teacher": {}}, r"teacher: name a run"),
    ],
)
def test_odd_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"model\.distil\.{message}"):
        Distillation(**{"teacher": "run", **options})


def test_another_form_of_inputs_is_refused(teacher: str) -> None:
    module = MultiTaskModule(PerceptronEncoder(4, [3]), {"a": Regression(0.0, 1.0)}, distil=Distillation(teacher))
    module.build()
    with pytest.raises(UserError, match="reads its inputs in another form than this encoder"):
        fit(module, [])


# -- what counts -------------------------------------------------------------------------------------------------------
def test_soft_losses_are_means_over_all_places_of_a_window() -> None:
    """A step without any label of a task is one of those that the mean is taken over, as the soft loss is."""
    places = {"d": {"t": torch.tensor([2, 4]).numpy()}}
    window = [
        Drawn({"d": {"t": torch.tensor([1, 0]).numpy()}}, places),
        Drawn({"d": {"t": places["d"]["t"] * 0}}, places),
    ]
    (first, soft), (second, soft_again) = shares_of(window, slice(0, None, 2), 2)
    assert soft == soft_again == {"d": {"t": 2 * 2 * 2 / 12}}
    assert first == {"d": {"t": 2 * 2 * 1 / 1}} and second == {"d": {}}


def test_baselines_of_one_task_keep_their_teacher() -> None:
    distil = {"teacher": {"a": "one", "b": "two"}, "weight": 0.5}
    config = {"model": {"tasks": {"a": "Regression", "b": "Regression"}, "distil": distil}, "data": {}}
    assert restricted(config, ["b"])["model"]["distil"] == {"teacher": {"b": "two"}, "weight": 0.5}
    distil["teacher"] = {"a": "one"}
    assert "distil" not in restricted(config, ["b"])["model"]


def test_a_resumed_run_may_have_another_temperature_but_no_other_maps() -> None:
    was = {"model": {"distil": {"teacher": "one", "temperature": 2.0, "features": 0.0}}}
    now = copy.deepcopy(was)
    now["model"]["distil"] |= {"teacher": "moved", "temperature": 3.0}
    assert resumed_with(was, now, True) == (
        "Resumed with other settings: model.distil.teacher is moved now, was one; "
        "model.distil.temperature is 3.0 now, was 2.0"
    )
    for other in ({"model": {"distil": None}}, {"model": {"distil": {"features": 1.0}}}):
        with pytest.raises(UserError, match=r"model.distil(\.features)?: the run to resume has .*--init_from"):
            resumed_with(was, other, True)


# -- runs --------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A teacher, and a smaller student of it with most labels missing."""
    folder = tmp_path_factory.mktemp("runs")
    tiny.write(folder)
    config = copy.deepcopy(tiny.CONFIG)
    config["model"]["encoder"]["init_args"]["hidden"] = [8, 8]
    with tiny.whole_run(folder, config, "--trainer.max_epochs=1"):
        Path("whole").rename("teacher")
        rows = [json.loads(line) for line in Path("train.jsonl").read_text().splitlines()]
        tiny.write_rows(
            Path("train.jsonl"), [{**row, "x": row["x"] if i % 3 == 0 else None} for i, row in enumerate(rows)]
        )
        config["model"] |= {"distil": {"teacher": "teacher", "features": 0.1}, "weighting": "UPGrad"}
        config["model"]["encoder"]["init_args"] |= {"hidden": [4]}
        Path("config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        assert tiny.fit("whole") == 0
        yield folder


def test_a_resumed_run_is_the_uninterrupted_one(runs: Path) -> None:
    tiny.interrupted()
    assert {"supervision.maps.cls.weight", "encoder.layers.0.weight"} < set(tiny.check_same_states())


def test_examples_without_labels_count(runs: Path) -> None:
    data: list[Any] = []

    class Read(MultiTaskDataModule):
        def train_dataloader(self) -> Any:
            data.extend(loader := super().train_dataloader())
            return loader

    config = tiny.CONFIG["data"]["datasets"]["d"]["init_args"]
    module = MultiTaskModule(
        PerceptronEncoder(3, [4]),
        {"cls": SequenceClassification(["p", "q"]), "reg": Regression()},
        distil=Distillation("teacher"),
    )
    trainer = fit_with(module, Read({"d": FileSource(**config)}, batch_size=5, num_workers=0))
    assert trainer.global_step == 4
    for step in data:
        part = step["d"]
        assert part.soft_shares == {"cls": 1.0, "reg": 1.0} and part.counts["reg"] == 5 > part.counts["cls"]


def fit_with(module: MultiTaskModule, data: MultiTaskDataModule) -> Any:
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(module, datamodule=data)
    return trainer


def test_a_student_predicts_without_its_teacher_and_is_not_resumed_without_it(runs: Path, capsys: Any) -> None:
    Path("teacher").rename("elsewhere")
    try:
        assert set(load("whole/checkpoints/last.ckpt").predict({"features": [[0.0, 1.0, 2.0]]})[0]) == {"cls", "reg"}
        assert tiny.fit("again", "--ckpt_path=whole", "--trainer.max_epochs=3") == 2
    finally:
        Path("elsewhere").rename("teacher")
    assert "model.distil.teacher: no file or folder teacher; give a checkpoint" in capsys.readouterr().err
