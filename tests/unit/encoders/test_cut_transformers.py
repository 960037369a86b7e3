"""A transformer is the composition of its stages, whatever its architecture."""

import pickle
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from mtl_lightning.encoders import Representation, State, TransformerEncoder
from mtl_lightning.errors import UserError

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
DEBERTA = {
    **SIZES,
    "model_type": "deberta-v2",
    "relative_attention": True,
    "position_buckets": 4,
    "pos_att_type": ["c2p", "p2c"],
    "norm_rel_ebd": "layer_norm",
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    **{kind: {**SIZES, "model_type": kind} for kind in ("bert", "roberta", "mpnet", "llama")},
    "electra": {**SIZES, "model_type": "electra", "embedding_size": 8},
    "distilbert": {"model_type": "distilbert", "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24},
    "albert": {**SIZES, "model_type": "albert", "embedding_size": 8},
    "deberta": DEBERTA,
    "modernbert": {
        **SIZES,
        **dict.fromkeys(["pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"], 0),
        "model_type": "modernbert",
        "global_attn_every_n_layers": 2,
        "local_attention": 4,
    },
    "gpt2": {"model_type": "gpt2", "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 40},
}


def encoder(kind: str, **settings: Any) -> TransformerEncoder:
    torch.manual_seed(0)
    arguments = {"config": ARCHITECTURES[kind], "tokenizer": "characters:ascii", "max_length": 32, **settings}
    return TransformerEncoder(**arguments).double()


def inputs(of: TransformerEncoder) -> dict[str, Tensor]:
    encoded = of.processor.encode({"tokens": [["ab", "c"], ["dcccc", "e"], ["x"], ["y", "uu", "i"]]})
    return of.processor.collate([{name: values[i] for name, values in encoded.items()} for i in range(4)])


def through(stages: Any, state: State) -> State:
    for stage in stages:
        state = stage(state)
    return state


def staged(of: TransformerEncoder, batch: dict[str, Tensor]) -> Representation:
    return of.end(through(of.stages, of.begin(batch)))


def assert_same(found: Representation, wanted: Representation) -> None:
    assert found.pooled is not None and wanted.pooled is not None
    assert found.tokens is not None and wanted.tokens is not None
    torch.testing.assert_close(found.pooled, wanted.pooled, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.tokens, wanted.tokens, rtol=1e-12, atol=1e-12)


def gradients(of: TransformerEncoder, found: Representation) -> list[Tensor | None]:
    assert found.pooled is not None and found.tokens is not None
    loss = (found.pooled * torch.linspace(-1, 1, 16)).sum() + found.tokens.pow(3).mean()
    return list(torch.autograd.grad(loss, [p for p in of.parameters() if p.requires_grad], allow_unused=True))


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_stages_make_up_the_whole(kind: str) -> None:
    whole = encoder(kind, dropout=0.0)
    names, batch = list(whole.state_dict()), inputs(whole)
    assert len(whole.stages) == 3
    assert list(whole.state_dict()) == names
    found, wanted = staged(whole, batch), whole(batch)
    assert_same(found, wanted)
    for one, other in zip(gradients(whole, found), gradients(whole, wanted), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["bert", "deberta", "modernbert"])
def test_examples_of_a_state_can_be_taken_apart(kind: str) -> None:
    whole = encoder(kind).eval()
    batch = inputs(whole)
    begun = whole.begin(batch)
    assert all(len(row) == 4 for row in begun.context.rows)
    rows = torch.tensor([3, 1])
    context = begun.context._replace(
        mask=begun.context.mask[rows],
        word_starts=begun.context.word_starts[rows],
        rows=tuple(tensor[rows] for tensor in begun.context.rows),
    )
    found = whole.end(through(whole.stages, State(begun.hidden[rows], context)))
    every = whole(batch)
    assert_same(found, Representation(every.pooled[rows], every.tokens[rows], every.mask[rows]))


def test_no_examples_reach_all_parameters() -> None:
    whole = encoder("bert")
    begun = whole.begin({name: tensor[:2] for name, tensor in inputs(whole).items()})
    stage = whole.stages[1]
    hidden = stage(begun._replace(hidden=begun.hidden[:0])).hidden
    assert hidden.shape == (0, *begun.hidden.shape[1:])
    found = torch.autograd.grad(hidden.sum(), list(stage.parameters()))
    assert all(not gradient.any() for gradient in found)


def test_a_copy_of_a_stage_is_independent_and_reads_the_same_state() -> None:
    whole = encoder("bert").eval()
    copy = deepcopy(whole.stages[1])
    first = whole.stages[0](whole.begin(inputs(whole)))
    wanted = whole.stages[1](first).hidden
    assert torch.equal(copy(first).hidden, wanted)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.zero_()
    assert torch.equal(whole.stages[1](first).hidden, wanted)


def test_copies_of_shared_layers_share_too() -> None:
    copies = deepcopy(encoder("albert").stages)
    assert set(copies[0].parameters()) == set(copies[2].parameters())


@pytest.mark.parametrize("copied", [deepcopy, lambda whole: pickle.loads(pickle.dumps(whole))])
def test_a_copy_of_the_encoder_has_stages_of_its_own(copied: Any) -> None:
    whole = encoder("gpt2").eval()
    batch, wanted = inputs(whole), staged(whole, inputs(whole))
    copy = copied(whole)
    assert_same(staged(copy, batch), wanted)
    assert set(copy.stages[-1].parameters()) <= set(copy.parameters())


def test_a_state_is_pooled_as_the_representation() -> None:
    batch = inputs(encoder("bert"))
    for pooling in ("mean", "cls"):
        whole = encoder("bert", pooling=pooling).eval()
        state = through(whole.stages, whole.begin(batch))
        assert torch.equal(whole.pool(state), whole(batch).pooled)
        assert whole.pool(whole.begin(batch)).shape == (4, whole.widths[0])


def test_gradients_are_checkpointed_in_stages() -> None:
    plain = encoder("bert", dropout=0.0)
    saving = encoder("bert", dropout=0.0, gradient_checkpointing=True)
    batch = inputs(plain)
    kept: list[int] = []
    counted = []
    for each in (plain, saving):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):  # type: ignore[func-returns-value]
            found = staged(each, batch)
        counted.append(sum(kept))
        last = gradients(each, found)
        if each is plain:
            wanted = last
    assert counted[1] < counted[0] / 2
    for one, other in zip(last, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch hides it but here
def test_stages_of_a_kind_are_compiled_once() -> None:
    graphs = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph

    whole = encoder("bert").eval()
    batch = inputs(whole)
    wanted = staged(whole, batch)
    for stage in whole.stages:
        stage.compile(backend=backend, dynamic=True)
    assert_same(staged(whole, batch), wanted)
    assert len(graphs) == 1


def test_mixed_precision() -> None:
    whole = encoder("bert").float().eval()
    batch = inputs(whole)
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = staged(whole, batch), whole(batch)
    assert torch.equal(found.pooled, wanted.pooled)  # type: ignore[arg-type]


def test_frozen_layers_are_frozen_stages() -> None:
    stages = encoder("bert", frozen_layers=2).stages
    assert [any(p.requires_grad for p in stage.parameters()) for stage in stages] == [False, False, True]


def test_training_mode_and_layers_are_left_as_they_are() -> None:
    whole = encoder("bert")
    whole.backbone.encoder.layer[1].eval()
    modes = [module.training for module in whole.modules()]
    staged(whole, inputs(whole))
    assert [module.training for module in whole.modules()] == modes
    assert not any("forward" in vars(module) for module in whole.modules())


def test_a_model_that_is_no_composition_of_its_layers_is_refused() -> None:
    settings = {**DEBERTA, "conv_kernel_size": 3}
    whole = TransformerEncoder(config=settings, tokenizer="characters:ascii", max_length=32)
    with pytest.raises(UserError, match="DebertaV2Model cannot be cut into stages, since"):
        _ = whole.stages
