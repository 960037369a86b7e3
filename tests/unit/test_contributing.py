"""The plug-ins that CONTRIBUTING.md shows pass the contract checks that it names."""

import importlib
import re
from pathlib import Path

from mtl_lightning.testing import check_encoder, check_weighting

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")


def test_the_examples_hold_the_contracts(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 4
    (tmp_path / "contributing_examples.py").write_text("\n".join(blocks), "utf-8")  # one of them calls check_task
    monkeypatch.syspath_prepend(tmp_path)
    examples = importlib.import_module("contributing_examples")
    check_encoder(examples.BagOfCharacters(), {"text": ["one", "another text"]})
    check_weighting(examples.InverseNorm)
