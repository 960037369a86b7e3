"""Groups that a column says."""

from types import SimpleNamespace

import pytest
from datasets import Dataset

from mtl_lightning.data import FileSource
from mtl_lightning.data.groups import check_groups, groups_of
from mtl_lightning.errors import UserError


def test_a_value_is_one_group_in_all_tables_however_it_is_written() -> None:
    numbers = groups_of(Dataset.from_dict({"user": [3, 4, None, 3]}), "user")
    texts = groups_of(Dataset.from_dict({"user": ["4", " 3.0", "", "ann"]}), "user")
    assert numbers[0] == numbers[3] == texts[1] and numbers[1] == texts[0]
    assert numbers[2] == texts[2] == -1
    assert len({numbers[0], numbers[1], texts[3], -1}) == 4 and texts[3] > 0


def test_a_column_that_is_not_there() -> None:
    sources = {"log": FileSource({"val": "log.csv"}, {"numeric": "x"}, {"click": "click", "buy": "buy"})}
    tables = {"log": {"val": Dataset.from_dict({"x": [1], "user": [1], "click": [1], "buy": [0]})}}
    tasks = {"click": SimpleNamespace(group="user"), "buy": SimpleNamespace(group=None)}
    check_groups(sources, tables, tasks)
    with pytest.raises(UserError, match=r"model\.tasks\.click\.group: the data has no column 'usr'; .*'user'"):
        check_groups(sources, tables, {**tasks, "click": SimpleNamespace(group="usr")})
