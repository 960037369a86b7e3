"""What tasks write, in loggers with texts, and what is refused."""

from types import SimpleNamespace
from typing import Any

import pytest

from mtl_lightning.callbacks import WrittenTexts
from mtl_lightning.callbacks.written_texts import _markdown
from mtl_lightning.errors import UserError
from mtl_lightning.tasks import Regression
from mtl_lightning.tasks.writing_task import Written


def test_a_cell_of_a_table_ends_where_it_should() -> None:
    lines = _markdown([["a|b", "c\nd", ""]]).splitlines()
    assert lines == ["| prompt | written | references |", "|---|---|---|", "| a\\|b | c<br>d |  |"]


def test_a_logger_with_tables_gets_one_and_others_nothing() -> None:
    calls: list[Any] = []
    logger = SimpleNamespace(log_table=lambda name, **more: calls.append((name, more)))
    found = {"w": [Written("t", ["r", "s"], "p")]}
    WrittenTexts().show(logger, found, 7)
    WrittenTexts().show(SimpleNamespace(), found, 7)
    ((name, more),) = calls
    assert name == "texts/w" and more["step"] == 7 and more["data"] == [["p", "t", "r\ns"]]


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match="`number` must be at least 1, found 0"):
        WrittenTexts(0)
    model: Any = SimpleNamespace(tasks={"n": Regression()})
    with pytest.raises(UserError, match=r"trainer\.callbacks: WrittenTexts needs a task that writes, such as CausalLM"):
        WrittenTexts().setup(SimpleNamespace(), model, "fit")  # type: ignore[arg-type]
