"""Top-k routing: the dense mixture where nothing is left out; what is left out is not computed."""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from mtl_lightning.callbacks.expert_watch import Taken, remarks
from mtl_lightning.encoders import ConvolutionalEncoder, Encoder, PerceptronEncoder
from mtl_lightning.encoders.base import Representation
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import MMoE, TopKRouting
from mtl_lightning.sharing.balance import Balance
from mtl_lightning.sharing.dispatch import Dispatch, with_zeros
from mtl_lightning.sharing.grouped_linear import grouped_linear
from mtl_lightning.sharing.rows import Rows

TASKS = ("a", "b", "c")


class Words(PerceptronEncoder):
    """Has tokens besides: each number of the input is a word, of which the negative ones are padding."""

    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        features = inputs["features"]
        tokens = self.layers(features.unsqueeze(-1) * torch.ones_like(features).unsqueeze(1))
        return Representation(self.layers(features), tokens, features > 0)


def encoder(kind: type[Encoder] = PerceptronEncoder, seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    made = ConvolutionalEncoder(1, [3, 4], grid=(2, 2), features=6) if kind is ConvolutionalEncoder else kind(5, [8, 6])
    return made.double()


def inputs_of(kind: type[Encoder] = PerceptronEncoder, number: int = 12) -> dict[str, Tensor]:
    torch.manual_seed(1)
    if kind is ConvolutionalEncoder:
        return {"image": torch.randn(number, 1, 8, 8).double()}
    return {"features": torch.randn(number, 5).double()}


def routing(of: Encoder | None = None, tasks: tuple[str, ...] = TASKS, **options: Any) -> TopKRouting:
    torch.manual_seed(2)
    return TopKRouting(tasks, of or encoder(), **{"noise": 0.0, **options}).double()


def tensors(found: Representation) -> list[Tensor]:
    return [tensor for tensor in (found.pooled, found.tokens) if tensor is not None]


# -- equal to the dense mixture --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (PerceptronEncoder, {"expert_widths": [7, 4]}),
        (Words, {"expert_widths": [4]}),
        (PerceptronEncoder, {"expert_stages": 1}),
        (ConvolutionalEncoder, {"expert_stages": 2}),
    ],
    ids=["perceptrons", "words", "stages", "convolutions"],
)
def test_with_all_experts_it_is_the_dense_mixture(kind: type[Encoder], options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    dense = MMoE(TASKS, encoder(kind), num_experts=3, **options).double()
    routed = routing(encoder(kind), num_experts=3, k=3, **options)
    routed.experts.load_state_dict(dense.experts[0].shared.state_dict())
    for task in TASKS:
        routed.routers[task].linear.weight.data = dense.experts[0].gates[task].linear.weight.data
        nn.init.zeros_(routed.routers[task].linear.bias)
    gradients = []
    for made in (dense, routed):
        found = made(inputs_of(kind), TASKS)
        out = [tensor for task in TASKS for tensor in tensors(found[task])]
        if kind is Words:
            mask = found["a"].mask.unsqueeze(-1)
            out = [tensor * mask if tensor.dim() == 3 else tensor for tensor in out]
        experts = made.experts if made is routed else made.experts[0].shared
        parameters = [*made.encoder.parameters(), *experts.parameters()]
        total = sum((tensor * torch.linspace(-1, 1, tensor.numel()).view_as(tensor)).sum() for tensor in out)
        gradients.append([*out, *torch.autograd.grad(total, list(dict.fromkeys(parameters)))])
    for wanted, got in zip(*gradients, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_an_example_is_the_weighted_sum_of_the_experts_chosen_for_it() -> None:
    made = routing(num_experts=5, k=2, expert_widths=[4])
    found, features = made(inputs_of(), ["b"])["b"].pooled, made.encode(inputs_of()).pooled
    gates = made.routers["b"](features).softmax(-1)
    every = made.experts(features)
    for n in range(len(features)):
        best = gates[n].argsort(descending=True)[:2]
        torch.testing.assert_close(found[n], sum(gates[n, e] * every[n, e] for e in best))


@pytest.mark.parametrize("counts", [[3, 0, 2], [0, 5, 0], [0, 0, 0]])
def test_linear_maps_of_groups(counts: list[int]) -> None:
    rows = torch.randn(sum(counts), 4, dtype=torch.float64, requires_grad=True)
    weight, bias = (torch.randn(3, 2, *s, dtype=torch.float64, requires_grad=True) for s in ([4], []))
    assert torch.autograd.gradcheck(lambda *each: grouped_linear(*each, counts), (rows, weight, bias))
    weight.requires_grad_(False)
    assert torch.autograd.gradcheck(lambda rows, bias: grouped_linear(rows, weight, bias, counts), (rows, bias))


def test_rows_go_to_the_experts_and_come_back() -> None:
    torch.manual_seed(0)
    chosen, values = torch.rand(9, 4) > 0.6, torch.arange(1.0, 10.0)
    chosen[:, 2] = False
    dispatch = Dispatch(chosen)
    parts = dispatch.split({"x": values, "other": "kept"})
    assert [part["x"].tolist() for part in parts] == [values[column].tolist() for column in chosen.T]
    assert dispatch.counts == chosen.sum(0).tolist() and parts[2]["other"] == "kept"
    made = with_zeros(torch.cat([part["x"] * 10**e for e, part in enumerate(parts)]))
    every = torch.arange(4).expand(9, 4)
    assert torch.equal(dispatch.pick(made, every), chosen * values.unsqueeze(1) * 10.0 ** torch.arange(4))


# -- what is not chosen is not computed ------------------------------------------------------------------------------
@pytest.mark.parametrize("k", [1, 2])
def test_it_computes_k_experts_an_example_in_both_passes(k: int) -> None:
    rows = torch.randn(12, 6, dtype=torch.float64)
    choice = torch.rand(12, 8).topk(k).indices
    chosen = torch.zeros(12, 8).scatter_(1, choice, 1.0).bool()
    every = torch.ones(12 * k, 1, dtype=torch.bool)
    assert _flops(8, rows, chosen) == _flops(1, rows.repeat(k, 1), every) > 0


def _flops(num_experts: int, rows: Tensor, chosen: Tensor) -> int:
    made = routing(num_experts=num_experts)
    with FlopCounterMode(display=False) as counter:
        made.experts.routed(rows, Dispatch(chosen)).sum().backward()  # type: ignore[no-untyped-call]
    return counter.get_total_flops()


def test_experts_that_nobody_chose_do_not_run() -> None:
    made = routing(num_experts=4, expert_stages=1, k=1)
    ran: list[tuple[int, int]] = []
    for e, stages in enumerate(made.experts.experts):
        stages[0].register_forward_hook(lambda _, args, __, e=e: ran.append((e, len(args[0].hidden))))
    nn.init.zeros_(made.routers["a"].linear.weight)
    nn.init.zeros_(made.routers["b"].linear.weight)
    made.routers["a"].linear.bias.data = torch.tensor([0.0, 0.0, 9.0, 0.0]).double()
    made.routers["b"].linear.bias.data = torch.tensor([0.0, 9.0, 0.0, 0.0]).double()
    made(inputs_of(), ["a"])
    assert ran == [(2, 12)]
    made(inputs_of(), ["b", "a"])
    assert ran[1:] == [(1, 12), (2, 12)]


def test_two_tasks_that_choose_the_same_expert_compute_it_once() -> None:
    made = routing(num_experts=3)
    for task in "abc":
        made.routers[task].load_state_dict(made.routers["a"].state_dict())
    with FlopCounterMode(display=False) as counter:
        made(inputs_of(), ["a"])
    alone = counter.get_flop_counts()["Global"]
    with FlopCounterMode(display=False) as counter:
        made(inputs_of(), TASKS)
    together = counter.get_flop_counts()["Global"]
    routers = 2 * 2 * 12 * 6 * 3  # two more, each a product of [12, 6] and [6, 3]
    small = 2 * 2 * 12 * 6  # and two more mixtures
    assert sum(together.values()) - sum(alone.values()) == routers + small


def test_padding_is_not_routed() -> None:
    made, inputs = routing(encoder(Words), num_experts=4), inputs_of(Words)
    seen: list[int] = []
    made.experts.register_forward_hook(lambda *_: pytest.fail("all experts were run"))
    grouped = Dispatch.group
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dispatch, "group", lambda self, values: seen.append(sum(self.counts)) or grouped(self, values))
        found = made(inputs, ["a"])["a"]
    real = inputs["features"] > 0
    assert seen == [len(real) + int(real.sum())]
    assert (found.tokens[~real] == 0).all() and (found.tokens[real] != 0).any()
    assert torch.equal(found.mask, real)


@pytest.mark.parametrize("options", [{"expert_widths": [4]}, {"expert_stages": 1}], ids=["perceptrons", "stages"])
def test_all_parameters_take_part_in_every_step_whoever_is_chosen(options: dict[str, Any]) -> None:
    made = routing(num_experts=8, **options)
    parameters = list(dict.fromkeys([*made.encoder.parameters(), *made.parameters()]))
    for number, tasks in ((12, ["a"]), (1, ["b"]), (1, list(TASKS))):
        found = made(inputs_of(number=number), tasks)
        losses = [found[task].pooled.square().sum() for task in tasks]
        others = {p for task in TASKS if task not in tasks for p in made.own_parameters(task)}
        gradients = torch.autograd.grad(sum(losses), parameters, allow_unused=True, retain_graph=True)
        assert {p for p, gradient in zip(parameters, gradients, strict=True) if gradient is None} == others
        _assert_terms_reach_all_routers(made)
    made(inputs_of(), [])
    _assert_terms_reach_all_routers(made)


def _assert_terms_reach_all_routers(made: TopKRouting) -> None:
    routers = [*made.routers.parameters(), next(iter(made.encoder.parameters()))]
    gradients = torch.autograd.grad(sum(made.terms().values()), routers, allow_unused=True, retain_graph=True)
    assert all(gradient is not None for gradient in gradients)


@pytest.mark.parametrize("options", [{"expert_widths": [4]}, {"expert_stages": 1}], ids=["perceptrons", "stages"])
def test_of_no_examples_nothing_is_made(options: dict[str, Any]) -> None:
    made = routing(**options)
    found = made(inputs_of(number=0), TASKS)
    assert {len(found[task].pooled) for task in TASKS} == {0}
    total = sum(each.pooled.sum() for each in found.values()) + sum(made.terms().values())
    total.backward()
    assert all(p.grad is not None and not p.grad.any() for p in made.parameters())


# -- terms -----------------------------------------------------------------------------------------------------------
def test_terms_of_one_task_are_those_of_the_papers() -> None:
    torch.manual_seed(0)
    logits = torch.randn(50, 4, dtype=torch.float64)
    real = torch.arange(50) < 40
    gates = logits.softmax(-1)[:40]
    chosen = nn.functional.one_hot(logits.argmax(-1), 4).double()
    terms = Balance(["a"], 4, 0.01, 0.001)({"a": logits}, {"a": chosen}, real)
    wanted = 0.01 * 4 * (chosen[:40].mean(0) * gates.mean(0)).sum()
    torch.testing.assert_close(terms["balance"], wanted)
    torch.testing.assert_close(terms["router_z"], 0.001 * logits[:40].logsumexp(-1).square().mean())


def test_an_even_use_costs_least_also_where_each_task_keeps_to_one_expert() -> None:
    balance, real = Balance(["a", "b"], 2, 1.0, 0.0).double(), torch.ones(4, dtype=torch.bool)
    first, second = (20 * torch.eye(2, dtype=torch.float64)[i].expand(4, 2) for i in range(2))
    own = {"a": first, "b": second}
    together = {task: each / 20 for task, each in own.items()}
    assert balance(own, together, real)["balance"].item() == pytest.approx(1.0)
    both = {"a": first, "b": first}
    assert balance(both, {task: each / 20 for task, each in both.items()}, real)["balance"].item() == pytest.approx(2.0)
    for _ in range(60):  # one data set a step
        for task in "ab":
            term = balance({task: own[task]}, {task: together[task]}, real)["balance"]
    assert term.item() == pytest.approx(1.0, abs=0.02)


def test_terms_of_zero_weight_are_zero() -> None:
    made = routing(balance=0.0, z_loss=0.0)
    made(inputs_of(), TASKS)
    assert {name: term.item() for name, term in made.terms().items()} == {"balance": 0.0, "router_z": 0.0}


# -- branches, noise, precision, what it notes -----------------------------------------------------------------------
@pytest.mark.parametrize("tasks", [TASKS, TASKS[:2]])
def test_a_branch_a_task_is_chosen_by_that_task_at_the_start(tasks: tuple[str, ...]) -> None:
    made = routing(num_experts="tasks", expert_stages=1, tasks=tasks)
    branches = [nn.Sequential(*stages) for stages in made.experts.experts]
    state = made.encode(inputs_of())
    for task, found in made.share(state, tasks).items():
        own = branches[tasks.index(task)](state).hidden
        torch.testing.assert_close(found.pooled, own * 0.75)
    assert made.use.experts_of("a") == list(tasks)


def test_noise_is_that_of_training_alone() -> None:
    made, inputs = routing(num_experts=4, noise=1.0), inputs_of()
    first, second = (made(inputs, ["a"])["a"].pooled for _ in range(2))
    assert not torch.equal(first, second)
    logits = made.routers["a"](made.encode(inputs).pooled)
    choice = made.routers["a"].choose(logits)
    assert torch.equal(choice.gates, logits.softmax(-1).gather(1, choice.experts)), "the gates are those of evaluation"
    made.eval()
    first, second = (made(inputs, ["a"])["a"].pooled for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", [{"expert_widths": [4]}, {"expert_stages": 1}], ids=["perceptrons", "stages"])
def test_routers_are_exact_in_low_precision(dtype: torch.dtype, options: dict[str, Any]) -> None:
    made = routing(num_experts=4, **options).float()
    made.encoder.float()
    inputs = {"features": inputs_of()["features"].float()}
    with torch.autocast("cpu", dtype):
        vectors = Rows(made.kind, made.encode(inputs)).vectors
        logits = made.routers["a"](vectors)
        found = made(inputs, ["a"])["a"].pooled
        total = found.float().square().sum() + sum(made.terms().values())
    assert vectors.dtype == dtype
    assert torch.equal(logits, made.routers["a"](vectors.float()))
    assert all(term.dtype == torch.float32 for term in made.terms().values())
    total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in made.parameters())
    torch.testing.assert_close(found.float(), made(inputs, ["a"])["a"].pooled, rtol=0.1, atol=0.05)


def test_it_notes_how_many_examples_went_where_and_how_sure_its_gates_were() -> None:
    made = routing(num_experts=4, k=2)
    made(inputs_of(), ["a"])
    logits = made.routers["a"](made.encode(inputs_of()).pooled)
    counts = torch.zeros(12, 4).scatter_(1, logits.topk(2).indices, 0.5)
    torch.testing.assert_close(made.use.newest("a"), counts.mean(0))
    entropy = torch.special.entr(logits.softmax(-1)).sum(-1).mean().float()
    torch.testing.assert_close(made.use.entropy("a"), entropy)
    assert 0 < entropy < math.log(4)


@pytest.mark.parametrize(
    ("chosen", "kinds"), [((0, 1), []), ((0, 0), ["collapse"])], ids=["an expert for each task", "one for both"]
)
def test_an_expert_may_serve_one_task_alone(chosen: tuple[int, int], kinds: list[str]) -> None:
    made = routing(tasks=("a", "b"), num_experts=2)
    for task, expert in zip("ab", chosen, strict=True):
        made.routers[task].linear.bias.data[expert] = 99.0
    made(inputs_of(), ["a", "b"])
    assert list(remarks([Taken.of(made.use)])) == kinds


def test_a_copy_has_seen_no_batch() -> None:
    made = routing()
    made(inputs_of(), TASKS)
    assert deepcopy(made).terms() == {}


# -- it finds groups -------------------------------------------------------------------------------------------------
def identity(features: int) -> Encoder:
    made = PerceptronEncoder(features, [features]).requires_grad_(False)
    nn.init.eye_(made.layers[0].weight)
    nn.init.zeros_(made.layers[0].bias)
    return made


def trained(made: TopKRouting, heads: nn.ModuleDict, batch: Callable[[], tuple[Tensor, dict[str, Tensor]]]) -> None:
    optimizer = torch.optim.Adam([*made.parameters(), *heads.parameters()], lr=0.02, fused=True)
    for _ in range(300):
        inputs, targets = batch()
        found = made({"features": inputs}, list(targets))
        errors = [heads[task](found[task].pooled).squeeze(1) - target for task, target in targets.items()]
        optimizer.zero_grad()
        (torch.stack(errors).square().mean(1).sum() + sum(made.terms().values())).backward()
        optimizer.step()
    made.eval()


def agreement(experts: Tensor, groups: Tensor) -> float:
    """The share of what each expert is used for that is of the group that it is mostly used for."""
    table = torch.zeros(8, 2).index_put_((experts, groups), torch.ones(len(experts)), accumulate=True)
    return float(table.max(1).values.sum() / table.sum())


@pytest.mark.parametrize("seed", [0, 1])
def test_routers_find_two_groups_of_tasks(seed: int) -> None:
    torch.manual_seed(seed)
    reads = {"a": [1.0, 0.5, 0, 0], "b": [0.5, 1.0, 0, 0], "c": [0, 0, 1.0, -0.5], "d": [0, 0, -0.5, 1.0]}
    made = TopKRouting(list(reads), identity(6), expert_widths=[2], balance=0.1, noise=1.0)
    heads = nn.ModuleDict({task: nn.Linear(2, 1) for task in reads})

    def batch() -> tuple[Tensor, dict[str, Tensor]]:
        inputs = torch.rand(64, 6)
        return inputs, {task: 5 * (inputs[:, :4] - 0.5) @ torch.tensor(each) for task, each in reads.items()}

    trained(made, heads, batch)
    inputs = torch.rand(500, 6)
    experts = torch.cat([made.routers[task](inputs).argmax(1) for task in reads])
    assert agreement(experts, torch.arange(2).repeat_interleave(1000)) >= 0.95


def test_a_router_finds_two_groups_of_examples() -> None:
    torch.manual_seed(0)
    made = TopKRouting(["a"], identity(6), expert_widths=[3], balance=0.1, noise=0.5)

    def examples(number: int) -> tuple[Tensor, Tensor]:
        groups, inputs = torch.randint(2, (number,)), torch.rand(number, 6)
        inputs[:, :2] = nn.functional.one_hot(groups, 2)
        return inputs, groups

    def batch() -> tuple[Tensor, dict[str, Tensor]]:
        inputs, groups = examples(64)
        return inputs, {"a": 4 * torch.where(groups == 0, inputs[:, 2], inputs[:, 3])}

    trained(made, nn.ModuleDict({"a": nn.Linear(3, 1)}), batch)
    inputs, groups = examples(500)
    assert agreement(made.routers["a"](inputs).argmax(1), groups) >= 0.95


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_experts": 4, "k": 5}, "`k` must be from 1 to the number of experts, 4, found 5; lower it, or raise"),
        ({"num_experts": "tasks", "k": 4}, "`k` must be from 1 to the number of experts, 3, found 4"),
        ({"k": 0}, "`k` must be from 1 to the number of experts, 8, found 0"),
        ({"num_experts": 0}, "`num_experts` must be at least 1, found 0"),
        ({"balance": -1.0}, "`balance` must be at least 0, found -1.0"),
        ({"z_loss": math.nan}, "`z_loss` must be at least 0, found nan"),
        ({"noise": math.inf}, "`noise` must be at least 0, found inf"),
        ({"expert_stages": 3}, "`expert_stages` must be from 1 to 2"),
    ],
)
def test_bad_options_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^model.sharing: {message}") as caught:
        routing(**options)
    assert "\n" not in str(caught.value)


def test_a_router_may_be_pruned() -> None:
    made = routing()
    for task in TASKS:
        prune.l1_unstructured(made._router(task).linear, "weight", 0.5)  # type: ignore[no-untyped-call]
    for _ in range(2):  # the weights that are left are found anew in each
        made.zero_grad()
        sum(found.pooled.square().sum() for found in made(inputs_of(), TASKS).values()).backward()
        for task in TASKS:
            linear = made._router(task).linear
            left = linear.weight_mask.bool()
            gradient = linear.weight_orig.grad
            assert gradient[left].any() and not gradient[~left].any()
