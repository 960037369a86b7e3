"""The resolved configuration is written once, by the first process, and carried by the model of each."""

from types import SimpleNamespace

import pytest
import yaml
from jsonargparse import Namespace

from mtl_lightning.cli.save_config import SaveConfig
from mtl_lightning.writing import CannotWriteError


class Parser:
    """Counts how often it makes a text of a configuration."""

    texts = 0

    def dump(self, config, skip_none, skip_validation):
        """Of what a parser has checked already."""
        assert skip_validation and not skip_none
        self.texts += 1
        return yaml.safe_dump(config.as_dict())


class Setting:
    """The start of a run, by one of several processes."""

    def __init__(self, folder, first=True):
        self.parser, self.kept = Parser(), []
        strategy = SimpleNamespace(broadcast=lambda value: value)
        self.trainer = SimpleNamespace(log_dir=str(folder), is_global_zero=first, loggers=[], strategy=strategy)
        self.module = SimpleNamespace(keep_config=self.kept.append)
        config = Namespace(name="run", ckpt_path="last.ckpt", model=Namespace(dropout=0.1))
        self.callback = SaveConfig(self.parser, config)

    def begin(self, stage):
        self.callback.setup(self.trainer, self.module, stage)


EXPECTED = {"name": "run", "ckpt_path": None, "model": {"dropout": 0.1}}


def test_one_text_serves_the_file_and_the_model(tmp_path):
    setting = Setting(tmp_path / "new")
    setting.begin("fit")
    (tmp_path / "new" / "config.yaml").unlink()
    setting.begin("validate")
    assert not list((tmp_path / "new").iterdir())
    assert setting.parser.texts == 1
    assert setting.kept == [EXPECTED, EXPECTED] and setting.kept[0] is not setting.kept[1]


def test_the_file_says_the_same(tmp_path):
    Setting(tmp_path).begin("fit")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == EXPECTED


def test_other_processes_write_nothing(tmp_path):
    setting = Setting(tmp_path, first=False)
    setting.begin("fit")
    assert not list(tmp_path.iterdir())
    assert setting.kept == [EXPECTED]


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(CannotWriteError, match=r"config\.yaml"):
        Setting(tmp_path).begin("fit")
