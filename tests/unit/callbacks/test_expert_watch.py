"""What is said of experts that are not used as they should be."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from mtl_lightning.callbacks.expert_watch import ExpertWatch, Taken, remarks
from mtl_lightning.sharing.observing import ExpertUse, Observations

BOTH = ("a", "b")
SHARED = {"one": BOTH, "two": BOTH}
OWN = {"shared": BOTH, "a_0": ("a",), "b_0": ("b",)}


def taken(readers: dict[str, tuple[str, ...]], level: str = "", **shares: list[float]) -> Taken:
    names = {task: [expert for expert, tasks in readers.items() if task in tasks] for task in shares}
    return Taken(level, readers, {task: dict(zip(names[task], of, strict=True)) for task, of in shares.items()})


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        ([taken(SHARED, a=[0.6, 0.4], b=[0.1, 0.9])], {}),
        ([taken(SHARED, a=[0.96, 0.04], b=[0.99, 0.01])], {"collapse": "more than 95% from one:"}),
        ([taken(SHARED, a=[0.96, 0.04], b=[0.94, 0.06])], {}),
        ([taken(SHARED, a=[0.96, 0.04])], {}),
        ([taken(SHARED, a=[1.0, 0.0], b=[0.9, 0.1])], {"alone": "one task alone: two (b);"}),
        ([taken(OWN, a=[0.5, 0.5], b=[1.0, 0.0])], {"idle": "nobody uses b_0 "}),
        ([taken(OWN, a=[0.0, 1.0], b=[0.0, 1.0])], {"idle": "nobody uses shared "}),
        ([taken(OWN, "level_1", a=[0.0, 1.0], b=[0.5, 0.5])], {"alone": "shared (level_1) (b)"}),
        ([taken({"only": BOTH}, a=[1.0], b=[1.0])], {}),
        ([taken(SHARED, a=[1.0, 0.0], b=[0.0, 1.0])._replace(balanced=False)], {}),
        ([taken(SHARED, a=[1.0, 0.0], b=[0.5, 0.5])._replace(own=("two",))], {}),
    ],
    ids=[
        "well",
        "collapse",
        "nearly",
        "one task seen",
        "for b alone",
        "own idle",
        "shared idle",
        "level",
        "one expert",
        "free",
        "own read by others",
    ],
)
def test_what_is_wrong(levels: list[Taken], found: dict[str, str]) -> None:
    said = remarks(levels)
    assert said.keys() == found.keys()
    for kind, text in found.items():
        assert text in said[kind]
        assert "\n" not in said[kind]


def watching(use: ExpertUse) -> tuple[ExpertWatch, Any]:
    module: Any = SimpleNamespace(sharing=SimpleNamespace(observe=lambda: Observations([use])))
    watch = ExpertWatch()
    watch.setup(Trainer.__new__(Trainer), module, "fit")
    return watch, module


def end_epoch(watch: ExpertWatch, module: Any) -> None:
    watch.on_train_epoch_end(Trainer.__new__(Trainer), module)


def test_a_line_is_said_once_and_an_epoch_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    use = ExpertUse(SHARED)
    watch, module = watching(use)
    with caplog.at_level(logging.WARNING):
        for weights in ([0.5, 0.5], [1.0, 0.0], [1.0, 0.0]):
            for task in BOTH:
                use.note(task, torch.tensor(weights))
            end_epoch(watch, module)
            assert watch.newest[0].shares == {task: dict(zip(SHARED, weights, strict=True)) for task in BOTH}
            assert use.mean("a") is None
    assert [record.message.split(":")[0] for record in caplog.records] == ["model.sharing"]


def test_an_epoch_goes_on_after_a_checkpoint() -> None:
    use, other = ExpertUse(SHARED), ExpertUse(SHARED)
    use.note("a", torch.tensor([0.25, 0.75]))
    watch, module = watching(use)
    resumed, of_other = watching(other)
    resumed.load_state_dict(watch.state_dict())
    for each in (use, other):
        each.note("a", torch.tensor([0.1, 0.9]))
        each.note("b", torch.tensor([0.1, 0.9]))
    end_epoch(watch, module)
    end_epoch(resumed, of_other)
    assert resumed.newest == watch.newest
    third, _ = watching(ExpertUse(SHARED))
    third.load_state_dict(watch.state_dict())
    assert third.newest == watch.newest
