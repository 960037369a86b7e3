"""Code that comes with a model is never run, and nobody is asked about it."""

import builtins
import json
from pathlib import Path

import pytest

from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.errors import UserError

TINY = {
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder with a model that brings its own classes."""
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("it asks"))
    code = {"AutoConfig": "code.Config", "AutoModel": "code.Model", "AutoTokenizer": ["code.Words", None]}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "its_own", "auto_map": code}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Words", "auto_map": code}))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    yield tmp_path
    assert not Path(tmp_path, "ran").exists()


@pytest.mark.parametrize("tokenizer", [None, "characters:ascii"], ids=["of the model", "ours"])
def test_a_model_with_code_of_its_own_is_refused(model, tokenizer):
    with pytest.raises(UserError, match="cannot load"):
        TransformerEncoder(str(model), tokenizer=tokenizer)


def test_nor_can_a_configuration_allow_it(model):
    with pytest.raises(UserError, match="never run"):
        TransformerEncoder(str(model), tokenizer="characters:ascii", config={"trust_remote_code": True})


def test_code_that_a_known_architecture_names_is_left_alone(model):
    config = {**TINY, "auto_map": {"AutoModel": f"{model}--code.Model"}}
    assert TransformerEncoder(tokenizer="characters:ascii", config=config).features == 8
