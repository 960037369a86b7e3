"""The experiment on sharing: its data, and the sizes of who is compared."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sklearn.datasets import load_digits
from torch.utils.flop_counter import FlopCounterMode

from experiments.sharing.data import GROUPS, SideBySide
from mtl_lightning import sharing
from mtl_lightning.encoders import PerceptronEncoder

FOLDER = Path(__file__).parents[3] / "experiments" / "sharing"
TASKS = [task for group in GROUPS.values() for task in group]


# -- data --------------------------------------------------------------------------------------------------------------
def test_no_digit_is_in_two_splits_and_labels_are_those_of_the_digits() -> None:
    images, digits = load_digits(return_X_y=True)
    known = {image.astype(np.float32).tobytes(): (number, digits[number]) for number, image in enumerate(images)}
    used: dict[str, set[int]] = {}
    for split, table in SideBySide(train=300, val=200, test=200).load().items():
        pixels = np.array(table["pixels"], dtype=np.float32) * 16
        used[split] = set()
        for side, half in (("left", pixels[:, :64]), ("right", pixels[:, 64:])):
            numbers, shown = zip(*(known[image.tobytes()] for image in half), strict=True)
            used[split] |= set(numbers)
            assert table[f"{side}_digit"] == list(shown)
            assert table[f"{side}_parity"] == [digit % 2 for digit in shown]
            assert table[f"{side}_large"] == [int(digit > 4) for digit in shown]
            assert table[f"{side}_prime"] == [int(digit in (2, 3, 5, 7)) for digit in shown]
    assert not used["train"] & used["val"]
    assert not used["train"] & used["test"]
    assert not used["val"] & used["test"]


def test_the_pairs_are_the_same_each_time_and_others_with_another_seed() -> None:
    first, again, other = (SideBySide(train=20, val=5, test=5, seed=seed).load()["train"] for seed in (0, 0, 1))
    assert first.to_dict() == again.to_dict()
    assert first["pixels"] != other["pixels"]


# -- sizes -------------------------------------------------------------------------------------------------------------
def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / name).read_text())


def size(changes: dict[str, Any]) -> tuple[int, int]:
    """Parameters of encoder and sharing, and FLOPs of a forward pass for all tasks in evaluation."""
    widths = changes.get("model.encoder.hidden", read("config.yaml")["model"]["encoder"]["init_args"]["hidden"])
    spec = changes.get("model.sharing", "HardSharing")
    spec = {"class_path": spec} if isinstance(spec, str) else spec
    encoder = PerceptronEncoder(128, widths)
    made = getattr(sharing, spec["class_path"])(TASKS, encoder, **spec.get("init_args", {})).eval()
    if isinstance(made, sharing.LearnedBranching):  # the tree that uses both branches, the largest that may be found
        assert made.choice is not None
        with torch.no_grad():
            for number, task in enumerate(TASKS):
                made.choice.logits(task)[number % 2] = 1.0
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        made({"features": torch.zeros(10, 128)}, TASKS)
    parameters = dict.fromkeys([*encoder.parameters(), *made.parameters()])
    return sum(parameter.numel() for parameter in parameters), int(counter.get_total_flops())


def test_nobody_is_larger_or_costlier_than_hard_sharing_by_more_than_3_percent() -> None:
    variants = read("plan.yaml")["variants"]
    sizes = {name: np.divide(size(changes), size({})) for name, changes in variants.items()}
    for name, ratios in sizes.items():
        assert ratios.max() <= 1.03, name
        assert ratios.max() >= 0.97, f"{name} could be larger"
    assert sizes["groups"] == pytest.approx((1, 1)), "the known answer has exactly what hard sharing has"


def test_the_known_answer_is_that_of_the_data() -> None:
    answer = read("plan.yaml")["variants"]["groups"]["model.sharing"]["init_args"]["groups"]
    assert [tuple(group) for group in answer] == list(GROUPS.values())
    assert list(read("config.yaml")["model"]["tasks"]) == TASKS
