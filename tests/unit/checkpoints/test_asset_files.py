"""Files of encoders in checkpoints, which may come from anybody."""

from pathlib import Path
from typing import Any

import pytest

from mtl_lightning.checkpoints.asset_files import are_asset_names, filled_in, take_arguments, write_assets
from mtl_lightning.errors import UserError


def test_files_stand_beside_each_other_or_in_a_folder_for_each_part(tmp_path: Path) -> None:
    write_assets({"vocab.txt": "a", "text/vocab.txt": "b"}, tmp_path)
    assert (tmp_path / "vocab.txt").read_text() == "a" and (tmp_path / "text" / "vocab.txt").read_text() == "b"


@pytest.mark.parametrize("names", [["a", "a/b"], ["../a"], ["/a"], ["a/../b"], ["a/b/c"], [""], ["."], ["a\\b"]])
def test_names_that_lead_elsewhere_are_refused(names: list[str]) -> None:
    assert not are_asset_names(names)


def test_arguments_of_parts_are_replaced_one_by_one_and_others_whole() -> None:
    config: dict[str, Any] = {
        "stems": {"words": {"init_args": {"tokenizer": "learnt:9", "size": 3}}},
        "config": {"a": 1},
    }
    arguments = {"stems": {"words": {"init_args": {"tokenizer": "{folder}/words"}}}, "config": {"b": 2}, "more": {}}
    take_arguments(config, filled_in(arguments, Path("files")))
    assert config["stems"]["words"]["init_args"] == {"tokenizer": "files/words", "size": 3}
    assert config["config"] == {"b": 2} and config["more"] == {}


@pytest.mark.parametrize("config", [{}, {"stems": "words"}, {"stems": {"words": "TransformerEncoder"}}])
def test_arguments_of_a_part_that_is_not_there_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"broken: its configuration has no model\.encoder\.stems\.words"):
        take_arguments(config, {"stems": {"words": {"init_args": {"size": 1}}}})
