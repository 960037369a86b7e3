"""Which parameters serve which tasks, and what a forward pass costs."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from mtl_lightning.encoders import Encoder, PerceptronEncoder, Representation
from mtl_lightning.sharing import Sharing
from mtl_lightning.sharing.observing import Part
from mtl_lightning.tasks import Regression, SequenceClassification, TokenClassification
from mtl_lightning.training.composition import Composition, Size, forward_cost
from mtl_lightning.training.module import MultiTaskModule

ENCODER = 3 * 4 + 4


class Grouped(Sharing):
    """`a` and `b` read a layer together, `c` has one of its own."""

    def __init__(self, tasks: Sequence[str], encoder: Encoder) -> None:
        super().__init__(tasks, encoder)
        self.together = nn.Linear(4, 4, bias=False)
        self.apart = nn.Linear(4, 4)

    def share(self, encoded: Representation, tasks: Sequence[str]) -> dict[str, Representation]:
        layers = {"a": self.together, "b": self.together, "c": self.apart}
        return {task: encoded._replace(pooled=layers[task](encoded.pooled)) for task in tasks}

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return list(self.apart.parameters()) if task == "c" else []

    def parts(self) -> list[Part]:
        encoder, own = Part("encoder", list(self.encoder.parameters()), self.tasks), self.own_parameters("c")
        return [encoder, Part("layer of a + b", [self.together.weight], ("a", "b")), Part("of c alone", own, ("c",))]


def model(sharing: type[Sharing] | None = None) -> MultiTaskModule:
    tasks = {"a": Regression(mean=0, std=1), "b": Regression(mean=0, std=1), "c": SequenceClassification(["x", "y"])}
    encoder = PerceptronEncoder(3, [4], dropout=0.5)
    made = MultiTaskModule(encoder, tasks, **({} if sharing is None else {"sharing": sharing}))
    made.build()
    return made


def test_parameters_by_who_reads_them() -> None:
    found = Composition(model(Grouped))
    assert not found.is_one_trunk
    assert [(part.name, Size.of(part.parameters).all) for part in found.shared] == [
        ("encoder", ENCODER),
        ("layer of a + b", 16),
    ]
    assert [found.own(task).all for task in "abc"] == [0, 0, 20]
    assert [found.head(task).all for task in "abc"] == [5, 5, 10]
    assert [found.serving(task).all for task in "abc"] == [ENCODER + 16 + 5, ENCODER + 16 + 5, ENCODER + 20 + 10]
    assert found.total.all == ENCODER + 16 + 20 + 20


def test_frozen_parameters_count_but_do_not_train() -> None:
    hard = model()
    for parameter in hard.encoder.parameters():
        parameter.requires_grad_(False)
    found = Composition(hard)
    assert found.is_one_trunk
    assert found.serving("c") == Size(ENCODER + 10, 10)
    assert found.total == Size(ENCODER + 20, 20)


def test_operations_are_those_of_the_products() -> None:
    cost = forward_cost(model(Grouped), [{"features": torch.randn(2, 3)}])
    trunk, layer = 2 * 3 * 4, 2 * 4 * 4
    assert cost.alone == {"a": trunk + layer + 8, "b": trunk + layer + 8, "c": trunk + layer + 16}
    assert cost.together == trunk + 3 * layer + 8 + 8 + 16


def test_counting_leaves_the_model_and_chance_alone() -> None:
    made = model()
    made.heads["a"].eval()
    modes = [module.training for module in made.modules()]
    chance = torch.get_rng_state()
    forward_cost(made, [{"features": torch.randn(1, 3, generator=torch.Generator().manual_seed(0))}])
    assert [module.training for module in made.modules()] == modes
    assert torch.equal(torch.get_rng_state(), chance)


def test_what_would_take_long_is_left_out() -> None:
    cost = forward_cost(model(), [{"features": torch.randn(1, 3)}], seconds=0.0)
    assert cost.together
    assert not cost.alone


def test_without_examples_nothing_is_known() -> None:
    assert forward_cost(model(), []) == (None, {})


class Words(PerceptronEncoder):
    """Makes positions of inputs that are called words."""

    def forward(self, inputs: dict[str, torch.Tensor]) -> Representation:
        (features,) = inputs.values()
        tokens = features.unsqueeze(1) if "words" in inputs else None
        return Representation(features, tokens, None if tokens is None else torch.ones(tokens.shape[:2]).bool())


@pytest.mark.parametrize("order", [1, -1], ids=["words last", "words first"])
def test_a_task_reads_the_first_examples_that_suffice_for_it(order: int) -> None:
    made = MultiTaskModule(
        Words(4, [4]),
        {
            "tags": TokenClassification(labels=["p", "q", "r"], scheme="tags"),
            "mood": SequenceClassification(["x", "y"]),
        },
    )
    made.build()
    examples = [{"features": torch.randn(2, 4)}, {"words": torch.randn(2, 4)}][::order]
    cost = forward_cost(made, examples)
    assert cost.alone == {"tags": 2 * 4 * 3, "mood": 2 * 4 * 2}
    assert cost.together == (16 if order == 1 else 40)
