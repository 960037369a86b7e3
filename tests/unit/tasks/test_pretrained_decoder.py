"""Texts that an encoder-decoder model writes with its own decoder, beside other tasks on the same encoder."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from tiny import BART, BERT, T5
from torch import Tensor
from torch.nn.functional import cross_entropy

import mtl_lightning
from mtl_lightning.data import Batch
from mtl_lightning.data.collation import stack
from mtl_lightning.encoders import PerceptronEncoder, TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import MMoE
from mtl_lightning.tasks import CausalLM, Seq2Seq, SequenceClassification
from mtl_lightning.training.evaluation import Evaluation
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.training.told_apart import same_beginnings
from mtl_lightning.weighting import EqualWeighting, UPGrad

TEXTS, OTHERS = ["ab c", "defg", "h"], ["x", "y z w v u t s r q"]
LABELS: dict[str, list[Any]] = {"w": ["cba", None, "h"], "v": ["a", "d", ""], "c": ["x", "y", "x"]}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def encoder(config: dict[str, Any] = T5, **settings: Any) -> TransformerEncoder:
    options = {"config": config, "tokenizer": "characters:printable", "max_length": 32, "dropout": 0.0, **settings}
    return TransformerEncoder(**options)


def module(config: dict[str, Any] = T5, weighting: Any = EqualWeighting, **settings: Any) -> MultiTaskModule:
    """Two tasks that write and one that classifies."""
    write = {name: Seq2Seq(max_target_length=8, **settings) for name in ("w", "v")}
    model = MultiTaskModule(encoder(config), {**write, "c": SequenceClassification(["x", "y"], dropout=0.0)}, weighting)
    model.build()
    return model


def batch(model: MultiTaskModule, tasks: str = "wvc", texts: list[str] = TEXTS) -> Batch:
    """Texts with the labels of some tasks."""
    encoded = model.encoder.processor.encode({"text": texts})
    rows = [dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)]
    found, counts = {}, {}
    for name in tasks:
        task = model.tasks[name]
        fitted = [task.fit(task.encode(label), row) for label, row in zip(LABELS[name], rows, strict=False)]
        found[name], counts[name] = stack(fitted, task.missing), sum(map(task.count, fitted))
    collated = model.encoder.processor.collate(rows)
    return Batch(collated, found, counts, dict.fromkeys(tasks, 1.0), [*range(len(rows))], 1)


def transformers_losses(model: MultiTaskModule, whole: Any, part: Batch) -> dict[str, Tensor]:
    """The losses of a batch, by the model as transformers runs it."""
    read = {name: part.inputs[name] for name in ("input_ids", "attention_mask")}
    found = {}
    for name, targets in part.targets.items():
        if name == "c":
            hidden, mask = whole.get_encoder()(**read).last_hidden_state, read["attention_mask"].unsqueeze(-1)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
            found[name] = cross_entropy(model.tasks[name].head(pooled), targets)  # type: ignore[misc]
        else:
            found[name] = whole(**read, labels=targets).loss
    return found


# -- losses and gradients ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("config", [T5, BART], ids=["t5", "bart"])
@pytest.mark.parametrize("datasets", [["wvc"], ["wc", "v"]], ids=["one input", "two data sets"])
def test_losses_and_the_gradient_of_each_task_are_those_of_the_model(config: Any, datasets: list[str]) -> None:
    model = module(config, UPGrad).double()
    of: Any = model.encoder
    parts = [batch(model, tasks) for tasks in datasets]
    for part in parts:
        losses = model.losses([part])
        model.executor.add(losses.losses, losses.shares)
    step = model.executor.combine()
    model.executor.backward(step.objective)
    parameters = [p for p in of.parameters() if p.requires_grad]
    with of._parts.whole() as whole:
        wanted = {n: loss for part in parts for n, loss in transformers_losses(model, whole, part).items()}
    rows = {
        name: torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)]
        )
        for name, loss in wanted.items()
    }
    names = [name for name in model.tasks if name in rows]
    for name in names:
        torch.testing.assert_close(step.losses[name], wanted[name].detach())
    jacobian = torch.stack([rows[name] for name in names])
    assert step.gramian is not None
    torch.testing.assert_close(step.gramian.to(jacobian), jacobian @ jacobian.T)
    written = torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters])
    torch.testing.assert_close(written, sum(step.weights[name] * rows[name] for name in names))
    head = model.tasks["c"].head
    assert head is not None and all(parameter.grad is not None for parameter in head.parameters())


def test_all_tasks_that_write_share_the_decoder_which_counts_as_shared() -> None:
    model = module()
    decoder: Any = model.encoder.decoder  # type: ignore[union-attr]
    assert not [*model.tasks["w"].parameters(), *model.tasks["v"].parameters()]
    shared = {id(parameter) for parameter in model.sharing.shared_parameters()}
    assert {id(parameter) for parameter in decoder.parameters()} <= shared
    groups = {group["name"]: {id(p) for p in group["params"]} for group in model.parameter_groups()}
    assert {id(parameter) for parameter in decoder.parameters()} <= groups["encoder"]


def test_batches_that_are_joined_have_the_losses_of_each() -> None:
    model = module()
    parts = [batch(model, "w"), batch(model, "v", OTHERS)]
    together = model.losses(parts).losses
    for part, name in zip(parts, "wv", strict=True):
        torch.testing.assert_close(together[name], model.losses([part]).losses[name])


@pytest.mark.parametrize("precise", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("config", [T5, BART], ids=["t5", "bart"])
def test_a_loss_is_single_in_every_precision(config: Any, precise: torch.dtype) -> None:
    model = module(config)
    whole = model.losses([batch(model, "wc")]).losses
    with torch.autocast("cpu", precise):
        mixed = model.losses([batch(model, "wc")]).losses
        written = model.eval().decode(batch(model, "w"), ["w"])
    model.to(precise)
    low = model.losses([batch(model, "wc")]).losses
    for found in (mixed, low):
        for name, loss in found.items():
            assert loss.dtype == torch.float32
            torch.testing.assert_close(loss, whole[name], atol=0.1, rtol=0.05)
    assert len(written) == len(model.decode(batch(model, "w"), ["w"])) == 3


# -- what is written ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("config", [T5, BART], ids=["t5", "bart"])
def test_scores_are_of_what_it_writes(config: Any) -> None:
    model = module(config, metrics=["rouge_l", "exact_match", "token_accuracy"]).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    task: Any = model.tasks["w"]
    seen = model(batch(model).inputs, ["w"])["w"]
    written = task.writer.write(seen)
    texts = [row["w"]["text"] for row in model.predict({"text": TEXTS})]
    assert texts == [task.writer.decode(row) for row in written.tolist()] and any(texts)
    behind = torch.eq(written, 3).cumsum(1) - torch.eq(written, 3).long() > 0
    written = written.masked_fill(behind, -100)
    other = written.clone()
    other[0] = written[0, 0] % 90 + 6
    other[1] = -100
    for targets, score in ((written, 1.0), (other, 0.5)):
        metrics = task.metrics()
        task.update(metrics, seen, targets)
        found = metrics.compute()
        assert found["exact_match"] == score and 0 <= found["rouge_l"] <= 1
        assert bool(found["token_accuracy"] == 1) is (score == 1)
        missing = (targets == -100).all(1)
        right = task.correct(seen, targets)
        assert torch.equal(right.isnan(), missing) and right[~missing].mean() == score


def test_all_tasks_read_the_same_inputs() -> None:
    model = module()
    assert [set(row) for row in model.predict({"text": TEXTS})] == [{"w", "v", "c"}] * 3
    assert set(model.predict({"tokens": [["ab", "c"]]})[0]) == {"w", "v", "c"}


def test_the_tokens_of_a_label_are_shown() -> None:
    model = module()
    assert model.tasks["w"].in_words(batch(model).targets["w"][0]) == "[CLS] c b a [SEP]"
    assert model.tasks["w"].in_words(batch(model).targets["w"][1]) is None


def test_options_of_generation_hold_and_texts_end_where_targets_do() -> None:
    model = module()
    assert {len(row["v"]["text"]) for row in model.predict({"text": TEXTS})} <= set(range(9))
    short = module(generation={"max_new_tokens": 2, "min_new_tokens": 2})
    assert short.decode(batch(short, "w"), ["w"]) != model.decode(batch(model, "w"), ["w"])


def test_metrics_that_need_no_writing_are_reported_where_nothing_is_said() -> None:
    assert set(module().tasks["w"].metrics()) == {"token_accuracy", "perplexity"}
    assert set(module(main_metric="exact_match").tasks["w"].metrics()) == {
        "token_accuracy",
        "perplexity",
        "exact_match",
    }


def test_a_new_decoder_can_be_asked_for_and_texts_it_writes_are_scored() -> None:
    model = MultiTaskModule(encoder(), {"w": Seq2Seq(decoder="new", layers=1, metrics=["bleu"])})
    model.build()
    assert model.encoder.decoder is None and list(model.tasks["w"].parameters())
    assert set(model.tasks["w"].metrics()) == {"bleu", "token_accuracy"}
    encoded = model.encoder.processor.encode({"tokens": [["a"], ["b", "c"]]})
    rows = [dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)]
    logits, metrics = model(model.encoder.processor.collate(rows))["w"], model.tasks["w"].metrics()
    model.tasks["w"].update(metrics, logits, torch.tensor([[5, 3], [-100, -100]]))
    assert metrics.compute()["bleu"].isfinite()


def test_the_decoder_runs_once_for_all_scores_and_writes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = module(metrics=["bleu", "exact_match", "perplexity"]).eval()
    part, task, runs = batch(model), model.tasks["w"], []
    assert isinstance(task, Seq2Seq)
    writer = type(task.writer)
    for name in ("logits", "write"):
        whole = getattr(writer, name)
        monkeypatch.setattr(writer, name, lambda *a, whole=whole, name=name: runs.append(name) or whole(*a))
    evaluation = Evaluation(model.tasks, ["d"], {"w": ["d", "e"]})
    with torch.no_grad():
        logits = model(part.inputs, ["w", "c"])
        evaluation.update("d", model.tasks, logits, part.targets, part.counts)
        assert sorted(runs) == ["logits", "write"]
        found, metrics = evaluation.compute(model.tasks), task.metrics()
        assert found.metrics["w"]["loss"] == pytest.approx(float(task.loss(logits["w"], part.targets["w"])))
        assert found.joint["d"] == 0.0 and "joint" in found.to_json()
        task.update(metrics, logits["w"], part.targets["w"])
    assert {name: float(value) for name, value in metrics.compute().items()} == pytest.approx(
        {name: found.metrics["w"][name] for name in metrics}
    )


# -- several texts that would be right ---------------------------------------------------------------------------------
@pytest.mark.parametrize("decoder", ["pretrained", "new"])
def test_the_first_reference_is_learnt_and_what_is_written_is_compared_with_all(decoder: Any) -> None:
    settings: dict[str, Any] = {"metrics": ["exact_match", "bleu"], "max_target_length": 8, "decoder": decoder}
    task = Seq2Seq(**settings, **({"layers": 1} if decoder == "new" else {}))
    model = MultiTaskModule(encoder(), {"w": task})
    model.build()
    model.eval()
    encoded = model.encoder.processor.encode({"tokens": [["ab"], ["c", "d"]]})
    rows = [dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)]
    logits = model(model.encoder.processor.collate(rows))["w"]
    (written, _) = (row["text"] for row in task.decode(logits, None))
    assert written
    several, alone = (
        stack([task.encode(label) for label in labels], task.missing)
        for labels in ([["zz", written, "y and more"], "q"], ["zz", "q"])
    )
    assert [task.count(row) for row in several] == [task.count(row) for row in alone]
    torch.testing.assert_close(task.loss(logits, several), task.loss(logits, alone))
    torch.testing.assert_close(task.correct(logits, several), task.correct(logits, alone))
    for targets, score in ((several, 0.5), (alone, 0.0)):
        metrics = task.metrics()
        task.update(metrics, task.with_targets(logits, targets), targets)
        assert metrics["exact_match"].compute() == score
    assert [text.references for text in task.texts(logits, several)] == [["zz", written, "y and more"], ["q"]]


@pytest.mark.parametrize(
    ("value", "message"), [([], "the list is empty; give a text"), (["a", 3], "reference 2: expected")]
)
def test_references_that_are_none_are_refused(value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        module().tasks["w"].encode(value)


# -- tasks on one input ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("config", [T5, BART], ids=["t5", "bart"])
def test_a_prefix_tells_the_decoder_its_task(config: Any) -> None:
    tasks = {"w": Seq2Seq(max_target_length=8, prefix="up: "), "v": Seq2Seq(max_target_length=8)}
    model = MultiTaskModule(encoder(config), {**tasks, "c": SequenceClassification(["x", "y"])}).eval()
    model.build()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    part, of = batch(model), model.encoder
    seen = model(part.inputs, ["w", "v"])
    writer, targets = tasks["w"].writer, part.targets["w"]
    ids = of.processor.tokenizer("up: ", add_special_tokens=False)["input_ids"]
    with of._parts.whole() as whole:  # type: ignore[union-attr]
        start = torch.tensor([whole.config.decoder_start_token_id, *ids]).expand(3, -1)
        fed = torch.cat([start, targets[:, :-1].clamp(min=0)], 1)
        read = {name: part.inputs[name] for name in ("input_ids", "attention_mask")}
        wanted = whole(**read, decoder_input_ids=fed).logits[:, len(ids) :]
    torch.testing.assert_close(writer.logits(seen["w"], targets), wanted)
    written = writer.write(seen["w"])
    again = writer.logits(seen["w"], written).argmax(-1)
    behind = torch.eq(written, 3).cumsum(1) - torch.eq(written, 3).long() > 0
    assert torch.equal(again.masked_fill(behind, 3), written.masked_fill(behind, 3)), "with a cache as without"
    rows = model.predict({"text": TEXTS})
    assert [row["w"] for row in rows] != [row["v"] for row in rows]


def test_two_tasks_on_one_text_that_nothing_tells_apart_are_named() -> None:
    made = {
        "w": Seq2Seq(),
        "v": Seq2Seq(),
        "u": Seq2Seq(prefix="u: "),
        "n": Seq2Seq(decoder="new"),
        "m": Seq2Seq(decoder="new"),
    }
    tasks = MultiTaskModule(encoder(), made).tasks
    sources = {
        "d": SimpleNamespace(labels={"w": "a", "u": "b", "n": "c", "m": "d"}),
        "e": SimpleNamespace(labels={"v": "a"}),
    }
    assert not [*same_beginnings(tasks, sources)]
    sources["e"].labels["w"] = "a"
    assert not [*same_beginnings(tasks, sources)], "two tasks of one column learn the same"
    sources["e"].labels["w"] = "b"
    (line,) = same_beginnings(tasks, sources)
    assert line.startswith("data set 'e': tasks 'v' and 'w' write from the same text") and "`prefix`" in line


# -- what is refused ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("of", "settings", "message"),
    [
        (lambda: encoder(BERT, max_length=12), {"decoder": "pretrained"}, "BertModel has no decoder; give `model` one"),
        (lambda: PerceptronEncoder(3), {"decoder": "pretrained"}, "PerceptronEncoder has no decoder; choose Transf"),
        (encoder, {"layers": 2}, "`layers` is one of a new decoder; leave it out, or choose `decoder: new`"),
        (encoder, {"dropout": 0.0}, "`dropout` is one of a new decoder"),
        (encoder, {"decoder": "new", "generation": {}}, "`generation` says how the model's own decoder writes"),
        (encoder, {"decoder": "new", "prefix": "a"}, "`prefix` tells the model's own decoder its task"),
        (encoder, {"generation": {"beams": 2}}, "`generation` has the unknown option 'beams'"),
        (lambda: encoder(BART), {}, "`max_target_length` is 64, but the model's decoder has positions for 40 tokens"),
    ],
)
def test_settings_that_do_not_do_are_refused(of: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"model\.tasks\.w: {message}"):
        MultiTaskModule(of(), {"w": Seq2Seq(**settings)})


def test_what_does_not_work_with_the_decoder_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"model\.tasks\.w: T5Stack reads texts as a whole and leaves it to its decoder"
    ):
        MultiTaskModule(encoder(), {"w": CausalLM()})
    with pytest.raises(UserError, match=r"model\.sharing: task 'a' writes with the encoder as it is"):
        MultiTaskModule(encoder(), {"a": Seq2Seq(), "b": Seq2Seq()}, sharing=MMoE).build()
    with pytest.raises(
        UserError, match="task 'w' reads more than these inputs have; give the input `text` or `tokens`"
    ):
        module().predict({"texts": [["a", "b"]]}, tasks=["w"])


# -- a run -------------------------------------------------------------------------------------------------------------
CONFIG: dict[str, Any] = {
    **tiny.CONFIG,
    "model": {
        "encoder": {
            "class_path": "TransformerEncoder",
            "init_args": {"config": T5, "tokenizer": "characters:printable", "max_length": 16},
        },
        "tasks": {
            "short": {"class_path": "Seq2Seq", "init_args": {"max_target_length": 4, "metrics": ["bleu"]}},
            "kind": "SequenceClassification",
        },
        "weighting": "UPGrad",
    },
    "data": {
        "datasets": {
            "d": {
                "class_path": "FileSource",
                "init_args": {
                    "files": {"train": "d.jsonl", "val": "d.jsonl"},
                    "inputs": {"text": "text"},
                    "labels": {"short": "short", "kind": "kind"},
                },
            }
        },
        "batch_size": 4,
        "num_workers": 0,
    },
}


def test_a_run_is_resumed_and_predicts_from_its_checkpoint_alone(tmp_path: Path) -> None:
    rows = [{"text": f"a {'b' * i} c", "short": f"b{i}", "kind": "xy"[i % 2]} for i in range(6)]
    tiny.write_rows(tmp_path / "d.jsonl", rows)
    with tiny.whole_run(tmp_path, CONFIG):
        tiny.interrupted()
        assert any(name.startswith("encoder.decoder.") for name in tiny.check_same_states())
        assert {"val/short/bleu", "val/short/token_accuracy", "val/joint/d"} <= tiny.logged("whole")
        (tmp_path / "d.jsonl").unlink()
        model = mtl_lightning.load("whole/checkpoints/best.ckpt")
        wanted = model.predict({"text": ["a b c"]})
        assert isinstance(wanted[0]["short"]["text"], str)
        assert model.merge("short").predict({"text": ["a b c"]})[0]["short"] == wanted[0]["short"]
