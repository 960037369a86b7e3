"""What does not work with a sharded encoder is refused in one line, and so are other strategies that shard it."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn

from mtl_lightning import MultiTaskModule
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import SoftSharing
from mtl_lightning.tasks import Regression
from mtl_lightning.training.fsdp2 import FSDP2Strategy, members
from mtl_lightning.training.sharded import check_strategy
from mtl_lightning.training.strategies import refuse_strategy_name
from mtl_lightning.weighting import MoCo, UPGrad


class UsesEncoder(Regression):
    uses_encoder = True


def checked(strategy: Any = None, precision: str = "32-true", callbacks: tuple[Any, ...] = (), **options: Any) -> None:
    options = {"encoder": PerceptronEncoder(3, [4]), "weighting": UPGrad, **options}
    task = options.pop("task", Regression)
    module = MultiTaskModule(tasks={"a": task(), "b": task()}, **options)
    trainer = SimpleNamespace(strategy=strategy or FSDP2Strategy(), precision=precision, callbacks=callbacks)
    check_strategy(SimpleNamespace(**{**vars(module), **module._modules}, trainer=trainer))


def test_what_works_is_not_refused() -> None:
    checked()
    checked(precision="bf16-mixed")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weighting": MoCo}, "MoCo, which needs the tasks' whole gradients"),
        ({"precision": "16-mixed"}, "`trainer.precision: 16-mixed`; use `bf16-mixed`"),
        ({"compile_encoder": True}, "compile_encoder"),
        (
            {"task": UsesEncoder},
            "task 'a' (UsesEncoder), which writes with layers of the encoder's; use `ddp`, and an adapter",
        ),
        ({"sharing": SoftSharing}, "SoftSharing, which compares the encoder's parameters"),
        ({"callbacks": (EMAWeightAveraging(),)}, "EMAWeightAveraging"),
        ({"strategy": ModelParallelStrategy()}, "ModelParallelStrategy shards or splits the model; use `ddp`, one"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_work_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=r"^trainer.strategy: [^\n]*$") as refused:
        checked(**options)
    assert said in str(refused.value)


def test_sparse_embeddings_are_refused() -> None:
    encoder = PerceptronEncoder(3, [4])
    encoder.table = nn.Embedding(3, 4, sparse=True)
    with pytest.raises(UserError, match="sparse gradients"):
        checked(encoder=encoder)


@pytest.mark.parametrize("name", ["fsdp", "fsdp_cpu_offload", "ModelParallelStrategy", "deepspeed_stage_2"])
def test_other_names_point_to_the_one_that_works(name: str) -> None:
    with pytest.raises(UserError, match=f"^trainer.strategy: {name} is not supported; `fsdp2` shards"):
        refuse_strategy_name(name)


@pytest.mark.parametrize("strategy", ["fsdp2", "ddp", "auto", None, FSDP2Strategy()])
def test_others_are_left_alone(strategy: Any) -> None:
    refused = ""
    try:
        refuse_strategy_name(strategy)
    except UserError as error:
        refused = str(error)
    assert refused == ""


def test_units_are_the_members_of_outermost_lists() -> None:
    made: Callable[[], nn.Module] = partial(nn.Linear, 2, 2)
    layers = nn.ModuleList([nn.Sequential(made(), made()), made(), nn.ReLU()])
    module = nn.ModuleDict({"embeddings": made(), "body": nn.ModuleDict({"layers": layers})})
    assert members(module) == [layers[0], layers[1]]
