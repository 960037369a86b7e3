"""Tasks may be called as what torch's dicts of parameters have for methods."""

import inspect
from functools import partial

import pytest
import torch
from torch import nn

from mtl_lightning import sharing
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import AdaTT, Sharing
from mtl_lightning.training.task_names import check_task_names

NAMES = sorted({*dir(nn.ParameterDict), *vars(nn.ParameterDict())} - set(dir(nn.ModuleDict())))
SHARINGS = {
    name: value
    for name, value in vars(sharing).items()
    if inspect.isclass(value) and issubclass(value, Sharing) and not inspect.isabstract(value)
}


@pytest.mark.parametrize("make", [*SHARINGS.values(), partial(AdaTT, num_task_experts=2)], ids=[*SHARINGS, "AdaTT-2"])
def test_every_name_that_a_task_may_have_serves_every_sharing(make):
    assert {"copy", "get", "_keys"} <= set(NAMES)
    check_task_names(NAMES)
    made = make(NAMES, PerceptronEncoder(3, [4, 4]))
    assert list(made.eval()({"features": torch.randn(2, 3)}, NAMES)) == NAMES
    made.load_state_dict(made.state_dict())


@pytest.mark.parametrize("name", ["training", "_modules", "keys"])
def test_a_name_that_modules_need_is_refused(name):
    with pytest.raises(UserError, match=f"'{name}' cannot be a task's name; try '{name}_task'"):
        check_task_names([name])
