"""What ``trainer.precision: auto`` comes to."""

import pytest
import torch
import yaml

from mtl_lightning.__main__ import main
from mtl_lightning.cli.precision import chosen_precision


@pytest.mark.parametrize(
    ("trainer", "gpu", "bf16", "expected"),
    [
        ({"precision": "auto"}, True, True, "bf16-mixed"),
        ({"precision": "auto"}, True, False, "32-true"),
        ({"precision": "auto"}, False, True, "32-true"),
        ({"precision": "auto", "accelerator": "cpu"}, True, True, "32-true"),
        ({"precision": "16-mixed"}, True, True, "16-mixed"),
        ({}, True, True, None),
    ],
)
def test_precision_is_what_the_device_supports(monkeypatch, trainer, gpu, bf16, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated: bf16)
    chosen_precision(trainer)
    assert trainer.get("precision") == expected


def test_a_configuration_keeps_what_was_chosen(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["mtl-lightning"])
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--trainer.precision", "auto", "--trainer.accelerator", "cpu", "--print_config"])
    assert ended.value.code in (0, None)
    assert yaml.safe_load(capsys.readouterr().out)["trainer"]["precision"] == "32-true"
