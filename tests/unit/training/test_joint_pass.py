"""Several batches of a step that go through the encoder together: the same losses and gradients, in fewer passes."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_executor_options import assert_same
from test_training_options import Gradients, batch, fit, module_of, normalise
from torch import Tensor, nn

from mtl_lightning.data import Batch
from mtl_lightning.encoders import TextProcessor, TransformerEncoder, character_tokenizer
from mtl_lightning.padding import pad
from mtl_lightning.sharing import HardSharing, HybridSharing
from mtl_lightning.tasks import IGNORE, TokenClassification
from mtl_lightning.training.joint_pass import Parts, apart, passes, together
from mtl_lightning.training.losses import merged
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting import FAMO, EqualWeighting, UncertaintyWeighting, UPGrad


def step() -> dict[str, Batch]:
    """Two data sets that label `a`, and one of them what the other does not; shares as of 6 and 6 labels."""
    one, other = batch(0, "ab")["all"], batch(1, "ac")["all"]
    return {
        "one": one._replace(shares={"a": 0.25, "b": 1.0}),
        "other": other._replace(shares={"a": 0.75, "c": 1.0}),
    }


class Passes:
    """Counts what goes through the encoder."""

    def __init__(self, module: MultiTaskModule) -> None:
        self.rows: list[int] = []
        module.encoder.register_forward_hook(lambda _, __, found: self.rows.append(len(found.pooled)))


def trained(
    monkeypatch: pytest.MonkeyPatch, way: Callable[[Any, Any], list[Parts]], family: Any, **options: Any
) -> tuple[dict[str, Any], list[int], dict[str, Tensor]]:
    monkeypatch.setattr(
        "mtl_lightning.training.adding.passes",
        lambda module, step: apart(step) if module.executor.is_by_task else way(step, module.encoder),
    )
    module, gradients = module_of(family, **options), Gradients()
    passes = Passes(module)
    fit(module, [step(), step(), step()], gradients)
    return gradients.found, passes.rows, {name: p.detach() for name, p in module.named_parameters()}


@pytest.mark.parametrize(
    ("family", "options", "rows"),
    [
        (EqualWeighting, {}, [12, 12, 12]),
        (UncertaintyWeighting, {}, [12, 12, 12]),
        (FAMO, {}, [12] * 6),
        (UPGrad, {"refresh_every": 3}, [6, 6, 12, 12]),
        (UPGrad, {}, [6] * 6),
    ],
)
def test_losses_and_gradients_are_the_same(
    monkeypatch: pytest.MonkeyPatch, family: Any, options: dict[str, Any], rows: list[int]
) -> None:
    wanted, _, after = trained(monkeypatch, lambda step, _: apart(step), family, **options)
    found, counted, now = trained(monkeypatch, together, family, **options)
    assert counted == rows
    assert_same(found, wanted, rtol=1e-9)
    torch.testing.assert_close(now, after, rtol=1e-6, atol=1e-9)


def test_batches_stay_apart_where_the_encoder_mixes_their_examples() -> None:
    module = module_of(EqualWeighting, normalise)
    assert len(together(step(), module.encoder)) == 2
    module.encoder.eval()
    assert len(together(step(), module.encoder)) == 1


def test_inputs_that_differ_in_more_than_their_number_stay_apart() -> None:
    module, parts = module_of(EqualWeighting), step()
    parts["image"] = parts["one"]._replace(inputs={"image": torch.zeros(6, 1, 4, 4)})
    wide = parts["one"]._replace(inputs={"features": torch.zeros(6, 7)})
    found = together({**parts, "wide": wide, "more": parts["one"]}, module.encoder)
    assert [len(group) for group in found] == [3, 1, 1]


@pytest.mark.parametrize(
    ("joint_pass", "by_task", "groups"), [("auto", False, 1), ("auto", True, 2), ("never", False, 2), (None, False, 2)]
)
def test_the_data_module_may_forbid_it(joint_pass: str | None, by_task: bool, groups: int) -> None:
    module = module_of(UPGrad if by_task else EqualWeighting)
    datamodule = None if joint_pass is None else SimpleNamespace(joint_pass=joint_pass)
    module._trainer = SimpleNamespace(datamodule=datamodule)  # type: ignore[assignment]
    assert len(passes(module, step())) == groups


def test_texts_are_joined_where_little_is_padded() -> None:
    processor = TextProcessor(character_tokenizer(), 64)

    def inputs(*texts: str) -> dict[str, Tensor]:
        encoded = processor.encode({"text": texts})
        return processor.collate([dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)])

    short, longer, long = inputs("0123456789", "01"), inputs("0123456789a"), inputs("0" * 40)
    assert processor.can_join([short, longer])
    assert not processor.can_join([short, long])
    joined = processor.join([short, longer])
    assert joined["input_ids"].shape == (3, 13)
    alone = {name: nn.functional.pad(tensor, (0, 1)) for name, tensor in short.items()}
    for name, tensor in joined.items():
        assert torch.equal(tensor[:2], alone[name])
        assert torch.equal(tensor[2:], longer[name])


class OwnTags(TokenClassification):
    """A user's own: its head mixes positions, and its loss takes logits and labels of the same length."""

    def forward(self, features: Any) -> Tensor:
        logits = super().forward(features)
        return logits - logits.mean(1, keepdim=True)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORE)


def tagged(processor: TextProcessor, *lengths: int) -> Batch:
    """Examples of so many words of a letter, each with a tag."""
    rows = processor.encode({"tokens": [["a", "b"] * (length // 2) for length in lengths]})
    inputs = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
    targets = pad([[0, 1] * (length // 2) for length in lengths], IGNORE)
    shares = dict.fromkeys(["tags", "own"], 0.5)
    words = dict.fromkeys(shares, sum(lengths))
    return Batch(processor.collate(inputs), dict.fromkeys(shares, targets), words, shares, [0] * len(lengths), 0)


@pytest.mark.parametrize("sharing", [HardSharing, HybridSharing])
def test_tasks_of_words_see_none_of_the_padding_of_a_longer_batch(sharing: Any) -> None:
    torch.manual_seed(0)
    config = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    encoder = TransformerEncoder(config=config | {"intermediate_size": 8}, tokenizer="characters:ascii", dropout=0.0)
    tasks = {"tags": TokenClassification(labels=["x", "y"], dropout=0.0), "own": OwnTags(labels=["x", "y"], dropout=0)}
    module = MultiTaskModule(encoder, tasks, sharing=sharing)
    module.build()
    module.double()
    parts = [tagged(encoder.processor, 20, 4), tagged(encoder.processor, 22, 20)]
    assert len(together(dict(enumerate(parts)), encoder)) == 1
    found, wanted = module.losses(parts).losses, merged([module.losses([part]) for part in parts]).losses
    torch.testing.assert_close(dict(found), dict(wanted))
