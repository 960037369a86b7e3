"""LoRA: what each task computes, which parameters it trains, and what becomes of the encoder."""

from copy import deepcopy
from functools import partialmethod
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.backward import Executor
from mtl_lightning.encoders import PerceptronEncoder, TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import LoRA
from mtl_lightning.sharing.adapting.targets import find_targets
from mtl_lightning.training.compilation import compile_encoder
from mtl_lightning.weighting import EqualWeighting, UPGrad

TASKS = ["a", "b", "c", "d"]
CONFIG = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 16,
}


def transformer(**options: Any) -> TransformerEncoder:
    torch.manual_seed(0)
    return TransformerEncoder(config=CONFIG, tokenizer="characters:ascii", dropout=0.0, **options).double()


def text(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {"input_ids": torch.randint(5, 30, (3, 6)), "attention_mask": torch.ones(3, 6, dtype=torch.long)}


def perceptron(*hidden: int) -> PerceptronEncoder:
    torch.manual_seed(0)
    return PerceptronEncoder(5, hidden or (8, 7, 6)).double()


def trained(sharing: LoRA, seed: int = 3) -> LoRA:
    """As after some steps: no matrix is zero."""
    torch.manual_seed(seed)
    for parameter in sharing.parameters():
        nn.init.normal_(parameter, std=0.3)
    return sharing.double()


def loss(representation: Any) -> Tensor:
    return representation.pooled.square().sum(1).mean()  # type: ignore[no-any-return]


def test_at_the_start_every_task_reads_what_the_encoder_makes() -> None:
    encoder = transformer()
    wanted = encoder(text()).pooled
    found = LoRA(TASKS, encoder).double()(text(), TASKS)
    assert all(torch.equal(found[task].pooled, wanted) for task in TASKS)
    assert torch.equal(encoder(text()).pooled, wanted), "outside of a task, nothing is added"


def test_a_task_reads_the_map_and_its_own_product() -> None:
    encoder = perceptron(4)
    sharing = trained(LoRA(TASKS, encoder, rank=2, alpha=3.0, shared_rank=1))
    features, linear, adapter = torch.randn(6, 5).double(), encoder.layers[0], sharing.adapters["layers.0"]
    for task in TASKS:
        own, shared = adapter.own[task], adapter.shared
        weight = linear.weight + 1.5 * (own.up @ own.down + shared.up @ shared.down)
        wanted = (features @ weight.T + linear.bias).relu()
        torch.testing.assert_close(sharing({"features": features}, [task])[task].pooled, wanted)


@pytest.mark.parametrize("weighting", [EqualWeighting, UPGrad])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_step_of_four_data_sets_is_four_steps_of_one_task(weighting: Any, frozen: bool) -> None:
    encoder = transformer()
    sharing = trained(LoRA(TASKS, encoder, rank=2, freeze_encoder=frozen))
    executor = Executor(weighting(TASKS), sharing.shared_parameters(), {t: sharing.own_parameters(t) for t in TASKS})
    for seed, task in enumerate(TASKS):
        executor.add({task: loss(sharing(text(seed), [task])[task])})
    executor.backward(executor.combine().objective)
    for seed, task in enumerate(TASKS):
        alone_encoder = transformer()
        alone = LoRA([task], alone_encoder, rank=2).double()
        alone.take(task, sharing.factors(task))
        loss(alone(text(seed), [task])[task]).backward()
        for here, there in zip(sharing.own_parameters(task), alone.own_parameters(task), strict=True):
            assert here.grad is not None
            torch.testing.assert_close(here.grad, there.grad, rtol=1e-6, atol=1e-12)


def test_what_lies_below_the_first_adapted_stage_runs_once() -> None:
    encoder = perceptron()
    sharing = LoRA(TASKS, encoder, targets=["layers.3"])
    calls = []
    for index in (0, 3, 6):
        encoder.layers[index].register_forward_hook(lambda *_, index=index: calls.append(index))
    sharing.double()({"features": torch.randn(2, 5).double()}, TASKS[:3])
    assert calls == [0, 3, 6, 3, 6, 3, 6]


def test_activations_that_are_recomputed_are_those_of_the_task() -> None:
    def gradients(checkpointing: bool) -> list[Tensor]:
        sharing = trained(LoRA(TASKS, transformer(gradient_checkpointing=checkpointing), rank=2))
        found = sharing(text(), TASKS)
        total = torch.stack([loss(found[task]) * (i + 1) for i, task in enumerate(TASKS)]).sum()
        return list(torch.autograd.grad(total, list(sharing.parameters())))

    for plain, recomputed in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(recomputed, plain)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's tracing looks at it
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("numbers", [True, False], ids=["numbers", "recomputed"])
def test_compiled_each_task_has_graphs_of_its_own(numbers: bool, monkeypatch: Any) -> None:
    encoder: Any = perceptron() if numbers else transformer(gradient_checkpointing=True)
    inputs = {"features": torch.randn(2, 5).double()} if numbers else text()
    sharing = trained(LoRA(TASKS[:2], encoder, rank=2, targets=["layers.3" if numbers else "query"]))

    def found() -> list[Tensor]:
        first, second = (loss(each) for each in sharing(inputs, TASKS[:2]).values())
        total = first + 2 * second
        return [total, *torch.autograd.grad(total, list(sharing.parameters()))]

    plain = found()
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager"))
    compile_encoder(sharing)
    for compiled, wanted in zip(found(), plain, strict=True):
        torch.testing.assert_close(compiled, wanted)


def test_bfloat16_autocast_and_a_backbone_of_half_precision() -> None:
    encoder = perceptron().float()
    sharing = trained(LoRA(TASKS, encoder)).float()
    features = {"features": torch.randn(4, 5)}
    wanted = sharing(features, ["a"])["a"].pooled
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(sharing(features, ["a"])["a"].pooled.float(), wanted, rtol=0.1, atol=0.1)
    encoder.bfloat16()
    found = sharing({"features": features["features"].bfloat16()}, ["a"])["a"].pooled
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, rtol=0.1, atol=0.1)


def test_tasks_are_compared_by_what_they_share_inside() -> None:
    encoder = perceptron()
    sharing = trained(LoRA(TASKS, encoder, shared_rank=2, freeze_encoder=False))
    shared = [p for name, p in sharing.named_parameters() if "shared" in name]
    own = {task: sharing.own_parameters(task) for task in TASKS}
    assert {id(p) for p in sharing.shared_parameters()} == {id(p) for p in [*encoder.parameters(), *shared]}
    executor = Executor(UPGrad(TASKS), sharing.shared_parameters(), own, gradient_of=shared)
    inputs = {"features": torch.randn(6, 5).double()}
    losses = {task: loss(each) for task, each in sharing(inputs, TASKS).items()}
    rows = [torch.cat([g.flatten() for g in torch.autograd.grad(losses[t], shared, retain_graph=True)]) for t in TASKS]
    jacobian = torch.stack(rows)
    executor.add(losses)
    step = executor.combine()
    wanted = UPGrad(TASKS)(jacobian @ jacobian.T, torch.ones(4), torch.arange(4))
    found = torch.stack([step.weights[task] for task in TASKS])
    torch.testing.assert_close(found.double(), wanted.double(), rtol=1e-5, atol=1e-6)


def test_merged_it_is_a_plain_encoder() -> None:
    encoder = transformer()
    sharing = trained(LoRA(TASKS, encoder, rank=2, shared_rank=1))
    before = deepcopy(encoder.state_dict())
    for task in TASKS:
        merged = sharing.merge(task)
        assert {type(module) for module in merged.modules()} == {type(module) for module in transformer().modules()}
        torch.testing.assert_close(merged(text()).pooled, sharing(text(), [task])[task].pooled, rtol=0, atol=1e-10)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    with pytest.raises(UserError, match=r"no task 'aa'; choose from a, b, c, d|did you mean"):
        sharing.merge("aa")


def test_the_encoder_keeps_the_names_of_its_parameters() -> None:
    encoder = transformer()
    names = list(encoder.state_dict())
    LoRA(TASKS, encoder)
    assert list(encoder.state_dict()) == names


def test_the_linear_maps_of_attention_are_adapted_by_default() -> None:
    ends = ["self.query", "self.key", "self.value", "output.dense"]
    wanted = [f"encoder.layer.{layer}.attention.{end}" for layer in (0, 1) for end in ends]
    assert LoRA(TASKS, transformer()).adapters.keys() == set(wanted)


@pytest.mark.parametrize(
    ("targets", "number"),
    [("query", 2), (["query", "value"], 4), (r".*layer\.1\..*(query|key)", 2), ("all-linear", 12)],
)
def test_targets_are_named_as_in_peft(targets: Any, number: int) -> None:
    assert len(LoRA(TASKS, transformer(), targets=targets).adapters) == number


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ["qeury"]}, "model.sharing: `targets` 'qeury' matches no linear map; did you mean 'query'?"),
        ({"targets": "query("}, r"model.sharing: `targets` is no regular expression: 'query\('"),
        ({"targets": []}, "model.sharing: `targets` is empty"),
        ({"rank": 0}, "model.sharing: `rank` must be at least 1, found 0"),
        ({"shared_rank": -1}, "model.sharing: `shared_rank` must be at least 0, found -1"),
        ({"alpha": 0.0}, "model.sharing: `alpha` must be a finite number above 0, found 0.0"),
        ({"dropout": 1.0}, "model.sharing: `dropout` must be at least 0 and below 1, found 1.0"),
    ],
)
def test_bad_options_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")) as error:
        LoRA(TASKS, transformer(), **options)
    assert "\n" not in str(error.value)


def test_encoders_that_do_not_fit_are_one_line() -> None:
    with pytest.raises(UserError, match=r"choose from layers.0, layers.3, layers.6|did you mean 'layers"):
        LoRA(TASKS, perceptron(), targets=["layers.1"])
    with pytest.raises(UserError, match="this encoder has adapters already; give each model an encoder of its own"):
        LoRA(TASKS, LoRA(TASKS, perceptron()).encoder)
    with pytest.raises(UserError, match="no linear maps to adapt"):
        find_targets(nn.ReLU(), None)


def test_what_attention_of_torch_never_calls_is_no_target() -> None:
    assert list(find_targets(nn.TransformerEncoderLayer(8, 2, 8), None)) == ["linear1", "linear2"]
