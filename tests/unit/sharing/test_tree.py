"""Trees that a file holds: whole, and of this model."""

from typing import Any

import pytest
import torch

from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import LearnedBranching
from mtl_lightning.sharing.tree import Tree, saved_tree

SAVED = {"parents": [[0, 0, 1]], "leaves": {"a": 0, "b": 1, "c": 2}}
BROKEN: dict[str, Any] = {
    "text": "x",
    "list": [1],
    "tensor": torch.zeros(2),
    "no leaves": {"parents": [[0, 0, 1]]},
    "no lists": {"parents": 1, "leaves": SAVED["leaves"]},
    "leaf beyond": {**SAVED, "leaves": {"a": 0, "b": 1, "c": 3}},
    "parent left out": {**SAVED, "parents": [[0, 0, 2]]},
    "counted from the end": {**SAVED, "parents": [[0, 0, -1]]},
    "leaf of text": {**SAVED, "leaves": {"a": 0, "b": 1, "c": "2"}},
}


@pytest.mark.parametrize("saved", BROKEN.values(), ids=BROKEN)
def test_what_is_no_tree_is_one_line(saved: Any) -> None:
    assert saved_tree(SAVED, "abc", [3, 3]) == Tree(**SAVED)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^model.sharing: the checkpoint's tree of branches is broken; take another"):
        saved_tree(saved, "abc", [3, 3])


@pytest.mark.parametrize(
    ("tasks", "sizes", "line"),
    [
        ("abd", [3, 3], "is of the tasks a, b, c, this model's of a, b, d; set `model.tasks` as they were"),
        ("abcd", [3, 3], "is of the tasks a, b, c, this model's of a, b, c, d"),
        ("abc", [3], "has 2 stages that branch, this model 1; set `shared_stages`"),
        ("abc", [3, 3, 3], "has 2 stages that branch, this model 3"),
        ("abc", [3, 2], "has 3 branches in a stage, this model 2; set `num_branches` as it was"),
    ],
)
def test_a_tree_of_another_model_is_one_line(tasks: str, sizes: list[int], line: str) -> None:
    with pytest.raises(UserError, match=rf"^model.sharing: the checkpoint's tree {line}"):
        saved_tree(SAVED, tasks, sizes)


def test_a_model_that_refuses_a_tree_is_as_it_was() -> None:
    made = LearnedBranching("abc", PerceptronEncoder(5, [4, 4]), num_branches=2)
    names = list(made.state_dict())
    with pytest.raises(UserError, match="has 3 branches in a stage, this model 2"):
        made.take_form({**SAVED, "parents": [[0, 0, 0]]})
    assert list(made.state_dict()) == names
