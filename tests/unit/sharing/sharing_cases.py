"""What the contract of sharings is tried on: each one that is exported, and variants, on each encoder."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from tiny import BERT
from torch import Tensor, nn

from mtl_lightning import sharing
from mtl_lightning.encoders import ConvolutionalEncoder, Encoder, PerceptronEncoder, TransformerEncoder
from mtl_lightning.sharing import Sharing

TASKS = ("a", "b", "c")
B = 6

WORDS = [["ab", "c"], ["d"], ["e", "fgh", "i"], ["jk"], ["l", "m"], ["n", "o", "p"]]


def transformer() -> Encoder:
    return TransformerEncoder(config=BERT, tokenizer="characters:ascii", max_length=12, dropout=0.0)


@cache
def sentences(tokens: bool) -> dict[str, Tensor]:
    processor = transformer().processor
    encoded = processor.encode({"tokens": WORDS} if tokens else {"text": ["".join(words) for words in WORDS]})
    return processor.collate([{name: values[i] for name, values in encoded.items()} for i in range(B)])


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "perceptron": lambda: PerceptronEncoder(5, [8, 7, 6]),
    "convolution": lambda: ConvolutionalEncoder(2, [3, 4], grid=(2, 2), features=6),
    "transformer": transformer,
    "transformer over words": transformer,
}
INPUTS: dict[str, Callable[[], dict[str, Tensor]]] = {
    "perceptron": lambda: {"features": torch.randn(B, 5)},
    "convolution": lambda: {"image": torch.randn(B, 2, 8, 8)},
    "transformer": lambda: sentences(tokens=False),
    "transformer over words": lambda: sentences(tokens=True),
}
SHARINGS = {
    name: cls
    for name in sharing.__all__
    if isinstance(cls := getattr(sharing, name), type) and issubclass(cls, Sharing) and cls is not Sharing
}


def pruned(tasks: Sequence[str], encoder: Any) -> Sharing:
    """Learned branching with a tree, the same each time."""
    made = sharing.LearnedBranching(tasks, encoder, num_branches=2)
    assert made.choice is not None
    for logits in made.choice.parameters():
        nn.init.normal_(logits, generator=torch.Generator().manual_seed(len(logits)))
    made.prune()
    return made


VARIANTS = {
    "MMoE-stages": partial(sharing.MMoE, expert_stages=1),
    "PLE-stages": partial(sharing.PLE, expert_stages=2),
    "PLE-three-levels": partial(sharing.PLE, num_levels=3, num_task_experts=2),
    "DSelectK-per-example": partial(sharing.DSelectK, num_experts=3, per_example=True),
    "AdaTT-general": partial(sharing.AdaTT, num_task_experts=2, num_shared_experts=2, num_levels=3),
    "AdaTT-stages": partial(sharing.AdaTT, expert_stages=2),
    "STEM-stages": partial(sharing.STEM, num_task_experts=2, expert_stages=1),
    "LearnedBranching-pruned": pruned,
    "HybridSharing-groups": lambda tasks, encoder: sharing.HybridSharing(
        tasks, encoder, 1, [tasks[:2], tasks[2:]] if len(tasks) > 2 else None
    ),
    "SoftSharing-trace": partial(sharing.SoftSharing, norm="trace"),
    "CGC-unshared-stages": partial(sharing.CGC, num_shared_experts=0, expert_stages=2),
    "TopKRouting-stages": partial(sharing.TopKRouting, num_experts=4, k=2, expert_stages=1),
    "TopKRouting-branches": partial(sharing.TopKRouting, num_experts="tasks", expert_stages=2),
}
"""Sharings that another option makes another architecture."""
MAKERS: dict[str, Callable[..., Sharing]] = {**SHARINGS, **VARIANTS}
EXACT = {"STEM": {"stop_gradient": False}, "STEM-stages": {"stop_gradient": False}}
"""Options of sharings that stop gradients, under which they do not."""

CASES = [
    *((name, kind) for name in SHARINGS for kind in ("perceptron", "convolution", "transformer over words")),
    *((name, "transformer") for name in sorted(SHARINGS)[::4]),  # its words' features are left out, that is all
    *((name, kind) for name in VARIANTS for kind in ("convolution", "transformer over words")),
]


def inputs_of(kind: str, seed: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {name: t.double() if t.is_floating_point() else t for name, t in INPUTS[kind]().items()}
