"""Whole runs of models whose tasks read each other: training, evaluation, prediction, checkpoints, resuming."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from funnels import batch_of, binary, model_of, random_labels

import mtl_lightning
from mtl_lightning.__main__ import main
from mtl_lightning.chains import ESMM, Calibrator, ClassifierChain, Mean, Product
from mtl_lightning.cli.class_help import class_help
from mtl_lightning.compare.planning.configs import restricted
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Task, TokenClassification
from mtl_lightning.training.composition import Composition, forward_cost
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting import EqualWeighting, UPGrad

TASK = {"class_path": "SequenceClassification", "init_args": {"labels": ["no", "yes"], "metrics": ["auroc"]}}
CHAIN: dict[str, Any] = {
    "buy": {"class_path": "ESMM", "init_args": {"after": "click"}},
    "rating": {"class_path": "ClassifierChain", "init_args": {"after": ["click", "buy"]}},
    "conversion": {"class_path": "Formula", "init_args": {"formula": "buy / click"}},
    "either": {"class_path": "Mean", "init_args": {"of": ["click", "buy"]}},
}


def config() -> dict[str, Any]:
    made = json.loads(json.dumps(tiny.CONFIG))
    names = ("either", "buy", "conversion", "click")  # not the order in which they need each other
    made["model"]["tasks"] = {**dict.fromkeys(names, TASK), "rating": "Regression"}
    made["model"] |= {"chain": CHAIN, "weighting": "UPGrad"}
    labels = {"click": "click", "buy": "buy", "conversion": "bought_of_clicked", "rating": "rating"}
    made["data"]["datasets"]["d"]["init_args"]["labels"] = labels
    return made


def row(draw: random.Random) -> dict[str, Any]:
    features = [draw.gauss(0, 1) for _ in range(3)]
    click = features[0] + draw.gauss(0, 0.5) > 0
    buy = click and features[1] + draw.gauss(0, 0.5) > 0
    names = {False: "no", True: "yes"}
    of_clicked = names[buy] if click else None
    return {
        "f": features,
        "click": names[click],
        "buy": names[buy],
        "bought_of_clicked": of_clicked,
        "rating": features[2] + buy,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("funnel")
    draw = random.Random(3)
    for split, size in (("train", 60), ("val", 24)):
        tiny.write_rows(made / f"{split}.jsonl", [row(draw) for _ in range(size)])
    with tiny.whole_run(made, config()):
        yield made


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_a_joint_output_has_metrics_where_it_is_labelled_and_no_loss_in_training() -> None:
    names = tiny.logged("whole")
    assert {"val/buy/auroc", "val/conversion/auroc", "val/conversion/loss", "val/joint/d", "train/loss/buy"} <= names
    assert not {"val/either/auroc", "val/either/loss", "train/loss/conversion", "train/weight/conversion"} & names


def test_predictions_are_those_of_the_formulas(capsys: Any) -> None:
    model = mtl_lightning.load("whole/checkpoints/best.ckpt")
    rows = [json.loads(line) for line in Path("val.jsonl").read_text().splitlines()]
    assert main(["predict", "--ckpt_path=whole", "--input=val.jsonl", "--output=predicted.jsonl"]) == 0
    found = [json.loads(line)["predictions"] for line in Path("predicted.jsonl").read_text().splitlines()]

    def chance(of: dict[str, Any]) -> float:
        return float(of["probability"] if of["label"] == "yes" else 1 - of["probability"])

    for each in found:
        click, buy = chance(each["click"]), chance(each["buy"])
        assert chance(each["conversion"]) == pytest.approx(buy / click, abs=1e-5)
        assert chance(each["either"]) == pytest.approx((buy + click) / 2, abs=1e-5)
        assert buy <= click
    columns = {"features": [each["f"] for each in rows]}
    in_python = model.predict(columns, tasks=["conversion"])
    assert [chance(each["conversion"]) for each in in_python] == pytest.approx([chance(e["conversion"]) for e in found])
    assert all(list(each) == ["conversion"] for each in in_python)


def test_a_resumed_run_is_bitwise_an_uninterrupted_one() -> None:
    tiny.interrupted()
    tiny.check_same_states()


def test_words_and_texts_read_each_other_and_are_left_out_where_there_are_no_words() -> None:
    config = {
        "model_type": "bert",
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
    }
    tags = ("first", "second", "slots")
    tasks: dict[str, Task] = {tag: TokenClassification("bio", labels=["O", "B-x", "I-x"]) for tag in tags}
    tasks |= {"intent": binary(), "tone": binary()}
    chain = {"slots": Mean(["first", "second"]), "first": ClassifierChain("intent"), "tone": ClassifierChain("slots")}
    encoder = TransformerEncoder(config=config, tokenizer="characters:ascii", max_length=32)
    model = MultiTaskModule(encoder, tasks, chain=chain)
    model.build()
    (words,) = model.predict({"tokens": ["play some jazz"]})
    assert words.keys() == tasks.keys()
    assert words["slots"]["words"] == ["play", "some", "jazz"]
    (text,) = model.predict({"text": ["play some jazz"]})
    assert list(text) == ["intent"]
    with pytest.raises(UserError, match="labels words, which these inputs do not have"):
        model.predict({"text": ["play some jazz"]}, tasks=["tone"])


def test_aitm_with_its_calibrator_trains_and_predicts() -> None:
    options = ["--model.sharing=AITM", "--model.sharing.order=[click,buy]", "--trainer.max_epochs=1"]
    assert tiny.fit("aitm", *options, "--model.chain.buy=Calibrator", "--model.chain.buy.after=click") == 0
    assert "train/term/calibrator/buy" in tiny.logged("aitm")
    model = mtl_lightning.load("aitm/checkpoints/best.ckpt")
    assert model.sharing.tasks == ("buy", "click", "rating")
    assert list(model.predict({"features": [[1.0, 0.0, 0.0]]}, tasks=["buy"])[0]) == ["buy"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ckpt_path=whole", "--model.chain.buy.detach=true"], "model.chain: the run to resume has"),
        (["--model.chain.buy.after=clik"], "model.chain.buy: unknown task 'clik'; did you mean 'click'"),
        (["--model.chain.buy=ESM", "--model.chain.buy.after=click"], "did you mean 'ESMM'"),
        (["--model.chain.click=ESMM", "--model.chain.click.after=buy"], "tasks read each other in a circle"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options: list[str], message: str, capsys: Any) -> None:
    assert tiny.fit("refused", *options) != 0
    said = [line for line in capsys.readouterr().err.splitlines() if message in line]
    assert len(said) == 1


def test_help_names_the_links_and_their_arguments() -> None:
    listed = class_help(["fit", "--model.chain.help"])
    assert listed is not None
    assert {"ESMM", "ClassifierChain", "Calibrator", "Formula", "Mean", "Product"} <= set(listed.split())
    assert "Fusion" not in listed.split()
    described = class_help(["fit", "--model.chain.buy.help", "ESMM"])
    assert described is not None
    assert "--model.chain.buy.after" in described


def test_a_comparison_trains_single_tasks_without_their_chain() -> None:
    assert "chain" not in restricted(config(), ["buy"])["model"]


@pytest.mark.parametrize("family", [EqualWeighting, UPGrad])
def test_an_earlier_head_is_shared_by_the_tasks_whose_losses_reach_it(family: Any) -> None:
    tasks = {"click": binary(), "buy": binary(), "both": binary()}
    chain = {"buy": ESMM("click"), "both": Product(["click", "buy"], trained=True)}
    model = model_of(chain, tasks, weighting=family)
    batch = batch_of(random_labels(list(tasks)))
    heads = {name: list(task.parameters()) for name, task in model.tasks.items()}
    assert {*heads["click"], *heads["buy"]} <= set(model.executor.setup.shared)
    found = model.losses([batch])
    model.executor.add(found.losses, found.shares, found.features, terms=found.terms)
    step = model.executor.combine()
    model.executor.backward(step.objective)
    losses = model.losses([batch]).losses
    total = torch.stack([step.weights[task].to(loss) * loss for task, loss in losses.items()]).sum()
    parameters = [p for p in model.parameters() if p.requires_grad]
    for parameter, gradient in zip(parameters, torch.autograd.grad(total, parameters), strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("family", [EqualWeighting, UPGrad])
def test_the_calibrators_gradient_is_added_to_the_tasks(family: Any) -> None:
    tasks = {"click": binary(), "buy": binary()}
    model = model_of({"buy": Calibrator("click", coefficient=5.0)}, tasks, weighting=family)
    batch = batch_of(random_labels(list(tasks)))
    found = model.losses([batch])
    model.executor.add(found.losses, found.shares, found.features, terms=found.terms)
    step = model.executor.combine()
    model.executor.backward(step.objective)
    again = model.losses([batch])
    parameters = [*model.encoder.parameters()]
    total = (
        sum(step.weights[task].to(loss) * loss for task, loss in again.losses.items()) + again.terms["calibrator/buy"]
    )
    for parameter, gradient in zip(parameters, torch.autograd.grad(total, parameters), strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_what_serves_a_task_includes_the_heads_that_it_reads() -> None:
    tasks = {"click": binary(), "buy": binary(), "both": binary()}
    model = model_of({"buy": ESMM("click"), "both": Product(["click", "buy"])}, tasks)
    made, cost = Composition(model), forward_cost(model, [batch_of(random_labels(["click"])).inputs])
    head = made.head("click").all
    assert head > 0 and made.head("both").all == 0
    assert made.serving("buy").all == made.serving("both").all == made.serving("click").all + head
    assert cost.together == cost.alone["both"] == cost.alone["buy"] == cost.alone["click"] + 2 * 5 * 2
