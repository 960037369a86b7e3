"""Inner loops over transformers: attention is differentiated twice, adapters alone may adapt."""

from typing import Any

import pytest
import tiny
import torch

from mtl_lightning.data import Batch
from mtl_lightning.data.episodes import Form
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.inner_loops import ANIL, FOMAML, MAML, InnerLoop
from mtl_lightning.sharing import LoRA
from mtl_lightning.tasks import FewShotClassification
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting import EqualWeighting

TEXTS = ["ab", "cdef", "b", "fed", "aa", "cc"]


def module(loop: InnerLoop, attention: str | None = None, sharing: Any = None) -> MultiTaskModule:
    torch.manual_seed(1)
    encoder = TransformerEncoder(
        config=tiny.BERT, tokenizer="characters:ascii", max_length=12, dropout=0.0, attention=attention
    )
    options = {} if sharing is None else {"sharing": sharing}
    made = MultiTaskModule(encoder, {"kind": FewShotClassification(2)}, EqualWeighting, inner_loop=loop, **options)
    made.build()
    return made


def episode(model: MultiTaskModule) -> Batch:
    processor = model.encoder.processor
    encoded = processor.encode({"text": TEXTS})
    inputs = processor.collate([dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)])
    form = Form(support=2, queries=4, ways=2)
    targets = {"kind": torch.tensor(form.places(6))}
    return Batch(inputs, targets, {"kind": 6}, {"kind": 1.0}, [*range(6)], 20, form=form)


def gradients(model: MultiTaskModule) -> dict[str, torch.Tensor]:
    loss = model.losses([episode(model)]).losses["kind"]
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: g for name, g in zip(named, found, strict=True) if g is not None}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_is_differentiated_twice(attention: str) -> None:
    second = gradients(module(MAML(0.5), attention))
    first = gradients(module(FOMAML(0.5), attention))
    assert second.keys() == first.keys()
    query = next(name for name in second if "query.weight" in name)
    assert not torch.allclose(second[query], first[query], rtol=1e-3)


def test_both_implementations_of_attention_have_the_same_gradients() -> None:
    one, other = (gradients(module(MAML(0.5), attention)) for attention in ("sdpa", "eager"))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-6)


def test_adapters_alone_may_adapt() -> None:
    loop = MAML(0.5, parameters="*lora*")
    model = module(loop, sharing=LoRA)
    adapts = loop.chosen(dict(model.named_parameters()))
    assert adapts
    assert all("lora" in name for name in adapts)
    assert any("lora" in name and value.any() for name, value in gradients(model).items())


@pytest.mark.parametrize("loop", [MAML(), ANIL()])
def test_flash_attention_is_refused_with_what_to_set(loop: InnerLoop) -> None:
    model = module(FOMAML())
    model.inner_loop = loop
    model.encoder.backbone.config._attn_implementation = "flash_attention_2"
    with pytest.raises(
        UserError, match=r"`flash_attention_2` has no second derivative, .* set model.encoder.attention"
    ):
        model.build()
