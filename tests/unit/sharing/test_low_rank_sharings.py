"""MTLoRA, MTL-LoRA and Poly: what each adds to a linear map, who trains it, and that it merges."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import LoRA, MTLLoRA, MTLoRA, Poly
from mtl_lightning.sharing.adapting import LowRankSharing

TASKS = ["a", "b", "c"]
CLASSES: dict[str, type[LowRankSharing]] = {"MTLoRA": MTLoRA, "MTLLoRA": MTLLoRA, "Poly": Poly}


def made(cls: type[LowRankSharing], *hidden: int, **options: Any) -> Any:
    """One as after some steps: no matrix is zero."""
    torch.manual_seed(0)
    encoder = PerceptronEncoder(5, hidden or (8, 7, 6)).double()
    sharing = cls(TASKS, encoder, **options).double()  # type: ignore[call-arg]
    for parameter in sharing.parameters():
        nn.init.normal_(parameter, std=0.4)
    return sharing.eval()


def features() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {"features": torch.randn(6, 5).double()}


def with_added(sharing: Any, added: Tensor) -> Tensor:
    """What an encoder of one layer makes of the inputs with something added to its weight."""
    linear = sharing.encoder.layers[0]
    found: Tensor = (features()["features"] @ (linear.weight + added).T + linear.bias).relu()
    return found


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_merged_each_is_a_plain_encoder(cls: type[LowRankSharing]) -> None:
    sharing = made(cls)
    sharing.train()
    factors = sharing.factors("a")
    assert all(torch.equal(each.up, sharing.factors("a")[name].up) for name, each in factors.items()), "not drawn"
    sharing.eval()
    for task in TASKS:
        merged = sharing.merge(task)
        torch.testing.assert_close(merged(features()).pooled, sharing(features(), [task])[task].pooled)


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_what_tasks_share_is_no_tasks_own(cls: type[LowRankSharing]) -> None:
    sharing = made(cls)
    with pytest.raises(UserError, match="start from the run that it comes from, with `--init_from`"):
        sharing.take("a", sharing.factors("a"))


def test_mtlora_shares_what_lies_below_and_runs_it_once() -> None:
    sharing = made(MTLoRA, rank=2, shared_rank=3, own_stages=1)
    assert [adapter.by_task for adapter in sharing.adapters.values()] == [False, False, True]
    calls = []
    for index in (0, 3, 6):
        sharing.encoder.layers[index].register_forward_hook(lambda *_, index=index: calls.append(index))
    state = sharing.encode(features())
    assert calls == [0, 3]
    weights = [sharing.encoder.layers[3 * i].weight + sharing.factors("a")[f"layers.{3 * i}"].product for i in (0, 1)]
    wanted = features()["features"]
    for i, weight in enumerate(weights):
        wanted = (wanted @ weight.T + sharing.encoder.layers[3 * i].bias).relu()
    torch.testing.assert_close(state.hidden, wanted)
    sharing.share(state, TASKS)
    assert calls == [0, 3, 6, 6, 6]


def test_mtlora_of_all_stages_is_lora() -> None:
    every, plain = made(MTLoRA, own_stages=3), made(LoRA)
    for task in TASKS:
        plain.take(task, every.factors(task))
        torch.testing.assert_close(
            every(features(), [task])[task].pooled, plain(features(), [task])[task].pooled, rtol=0, atol=1e-12
        )


def test_mtlora_leaves_an_encoder_that_it_refuses_as_it_was() -> None:
    encoder = PerceptronEncoder(5, (8, 7, 6))
    with pytest.raises(UserError, match="none of `targets` is in the last stages"):
        MTLoRA(TASKS, encoder, targets=["layers.0"])
    MTLoRA(TASKS, encoder, targets=["layers.0", "layers.6"])


def test_mtl_lora_transforms_and_mixes() -> None:
    sharing = made(MTLLoRA, 4, rank=2, num_ups=3, alpha=3.0, temperature=0.7)
    adapter = sharing.adapters["layers.0"]
    for task in TASKS:
        weights = torch.softmax(adapter.weights[task] / 0.7, 0)
        up = sum(weight * up for weight, up in zip(weights, adapter.ups, strict=True))
        wanted = with_added(sharing, 1.5 * up @ adapter.transforms[task] @ adapter.down)
        torch.testing.assert_close(sharing(features(), [task])[task].pooled, wanted)


def test_poly_weighs_skills() -> None:
    sharing = made(Poly, 4, rank=2, num_skills=3, alpha=3.0)
    adapter = sharing.adapters["layers.0"]
    for task in TASKS:
        z = adapter.logits[task].sigmoid()
        down, up = (
            sum(weight * each for weight, each in zip(z / z.sum(), of, strict=True))
            for of in (adapter.downs, adapter.ups)
        )
        torch.testing.assert_close(sharing(features(), [task])[task].pooled, with_added(sharing, 1.5 * up @ down))


def test_poly_draws_in_training_around_what_it_uses_in_evaluation() -> None:
    sharing = made(Poly, 4, num_skills=3)
    nn.init.constant_(sharing.adapters["layers.0"].logits["a"], 20.0)
    nn.init.zeros_(sharing.adapters["layers.0"].logits["b"])
    inputs = features()
    wanted = sharing(inputs, TASKS)
    sharing.train()
    first, second = sharing(inputs, TASKS), sharing(inputs, TASKS)
    torch.testing.assert_close(first["a"].pooled, wanted["a"].pooled)
    assert not torch.allclose(first["b"].pooled, second["b"].pooled)


def test_poly_tells_which_task_uses_which_skill() -> None:
    sharing = made(Poly)
    with torch.no_grad():
        for adapter in sharing.adapters.values():
            adapter.logits["a"].copy_(adapter.logits["b"])
    sharing.train()(features(), TASKS)
    found = sharing.observe()
    assert found.embeddings.shape == (3, 3 * 4)
    assert torch.equal(found.embeddings[0], found.embeddings[1])
    assert not torch.allclose(found.embeddings[0], found.embeddings[2])
    (use,) = found.use
    torch.testing.assert_close(use.mean("a").double(), found.embeddings[0].view(3, 4).mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (MTLoRA, {"own_stages": 4}, "model.sharing: `own_stages` must be from 1 to 3, found 4"),
        (MTLoRA, {"targets": ["layers.0"]}, r"none of `targets` is in the last stages \(1 of 3\)"),
        (MTLoRA, {"shared_rank": 0}, "model.sharing: `shared_rank` must be at least 1, found 0"),
        (MTLLoRA, {"num_ups": 0}, "model.sharing: `num_ups` must be at least 1, found 0"),
        (MTLLoRA, {"temperature": 0.0}, "model.sharing: `temperature` must be a finite number above 0, found 0.0"),
        (
            Poly,
            {"temperature": float("nan")},
            "model.sharing: `temperature` must be a finite number above 0, found nan",
        ),
        (Poly, {"num_skills": 0}, "model.sharing: `num_skills` must be at least 1, found 0"),
    ],
)
def test_bad_options_are_one_line(cls: type[LowRankSharing], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        made(cls, **options)
    assert "\n" not in str(error.value)
