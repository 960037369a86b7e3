"""Shipped configs read what ``python -m experiments.data`` writes, and say so."""

from pathlib import Path

import pytest
import yaml
from real_data import ROOT

from experiments.data.place import data_folder, obtain
from experiments.data.recipes import RECIPES
from mtl_lightning.paths import expanded

NOBODYS = {"nyuv2"}
"""Data that may not be passed on: there is no recipe, the config says where to get it."""
CONFIGS = [*ROOT.glob("configs/*.yaml"), *ROOT.glob("experiments/*/config.yaml")]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.parametrize("named", [None, "", "elsewhere"])
def test_a_config_reads_a_data_set_of_a_recipe_where_the_command_writes_it(config, named, monkeypatch):
    monkeypatch.delenv("MTL_DATA", raising=False)
    if named is not None:
        monkeypatch.setenv("MTL_DATA", named)
    for spec in yaml.safe_load(config.read_text())["data"]["datasets"].values():
        arguments = spec.get("init_args", {}) if isinstance(spec, dict) else {}
        if "root" in arguments:
            folder = Path(expanded(arguments["root"]))
            assert folder.parent == data_folder() == Path(named or "data")
            if folder.name in NOBODYS:
                assert folder.name not in RECIPES and arguments["written_by"]
                continue
            assert folder.name in RECIPES and arguments["written_by"] == obtain(folder.name)
            files = arguments["files"]
            assert ({files} if isinstance(files, str) else {*files.values()}) <= {*RECIPES[folder.name].files}
