"""Which tasks belong together, as one trained model finds it out: ``python -m experiments.sharing.groups``."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
from torch import Tensor, nn

from experiments.sharing.data import SideBySide
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.sharing import (
    DSelectK,
    FiLM,
    LearnedBranching,
    MMoE,
    Sharing,
    TaskEmbedding,
    TopKRouting,
)

TASKS = [f"{side}_{number}" for side in ("left", "right") for number in range(4)]
KNOWN = [0, 0, 0, 0, 1, 1, 1, 1]
"""The group of each task."""
_STEPS = 1_000


class Method(NamedTuple):
    """A way to find groups.

    Attributes:
        hidden: Widths of the encoder: so narrow that tasks of two groups are in each other's way.
        sharing: Makes a sharing of the tasks and the encoder.
        read: What the trained sharing says of each task, a vector [K, E].
    """

    hidden: Sequence[int]
    sharing: Callable[[Sequence[str], PerceptronEncoder], Sharing]
    read: Callable[[Sharing], Tensor]


def of_gates(sharing: Sharing) -> Tensor:
    """What each task took of each expert in the last batch."""
    (use,) = sharing.observe().use
    taken = [use.newest(task) for task in sharing.tasks]
    return torch.stack([weights for weights in taken if weights is not None])


def of_tree(sharing: Sharing) -> Tensor:
    """1 for the branch of the last stage that each task reads."""
    assert isinstance(sharing, LearnedBranching)
    return torch.tensor([[float(task in group) for group in sharing.groups()[-1]] for task in sharing.tasks])


def of_embeddings(sharing: Sharing) -> Tensor:
    """The vectors of the tasks."""
    vectors = sharing.observe().embeddings
    assert vectors is not None
    return vectors


METHODS: Mapping[str, Method] = {
    "gates (MMoE)": Method([16, 6], partial(MMoE, num_experts=2, expert_stages=1), of_gates),
    "gates (TopKRouting)": Method(
        [16, 6], partial(TopKRouting, num_experts=2, expert_stages=1, noise=1.0, balance=1.0), of_gates
    ),
    "gates (DSelectK)": Method(
        [16, 4], partial(DSelectK, num_experts=2, k=1, expert_stages=1, entropy=0.0, gamma=4.0), of_gates
    ),
    "tree (LearnedBranching)": Method([6], partial(LearnedBranching, num_branches=2), of_tree),
    "embeddings (FiLM)": Method([16, 6], FiLM, of_embeddings),
    "embeddings (TaskEmbedding)": Method([16, 6], TaskEmbedding, of_embeddings),
}


def two_clusters(vectors: Tensor) -> list[int]:
    """The cluster of each task: average linkage of directions from the mean, cut where two remain.

    Args:
        vectors: Of the tasks [K, E]. Where they are all the same, there is one cluster.
    """
    directions = nn.functional.normalize(vectors - vectors.mean(0))
    found: list[int] = fcluster(linkage(pdist(directions.numpy()), "average"), 2, "maxclust").tolist()
    return found


def agreement(found: Sequence[int], known: Sequence[int]) -> float:
    """The share of the pairs of tasks that are rightly together, or rightly apart: the Rand index.

    >>> agreement([0, 0, 1, 1], [1, 1, 0, 0]), round(agreement([0, 0, 0, 1], [1, 1, 0, 0]), 2)
    (1.0, 0.5)
    """
    pairs = list(combinations(range(len(known)), 2))
    return sum((found[a] == found[b]) == (known[a] == known[b]) for a, b in pairs) / len(pairs)


def tensors(seed: int, pairs: int = 4_000) -> tuple[Tensor, dict[str, Tensor]]:
    """The pixels [N, 128] and the labels of each task [N]: to which of five pairs of digits its digit belongs.

    Each task has pairs of its own, drawn at random. Pixels have a mean of 0 each, so that no unit of a narrow layer
    is off for all inputs from the start, and together a standard deviation of 1.

    Args:
        seed: Of what is shown side by side, and of the pairs.
        pairs: N, the number of images.
    """
    table = SideBySide(train=pairs, val=1, test=1, seed=seed).load()["train"].with_format("torch")
    pixels = table["pixels"][:]
    pixels = pixels - pixels.mean(0)
    random = torch.Generator().manual_seed(seed)
    shown = {side: table[f"{side}_digit"][:] for side in ("left", "right")}
    labels = {task: (torch.randperm(10, generator=random) // 2)[shown[task.split("_")[0]]] for task in TASKS}
    return pixels / pixels.std(), labels


def trained(method: Method, seed: int, pixels: Tensor, labels: Mapping[str, Tensor], steps: int = _STEPS) -> Sharing:
    """A sharing after training with Adam, a linear head for each task, and the sum of their losses.

    Args:
        method: What is trained.
        seed: Of the initial weights and the batches of 128.
        pixels: [N, 128].
        labels: Of each task [N].
        steps: Number of batches.
    """
    torch.manual_seed(seed)
    encoder = PerceptronEncoder(pixels.shape[1], method.hidden)
    sharing = method.sharing(TASKS, encoder).train()
    heads = nn.ModuleDict({task: nn.Linear(sharing.features, 5) for task in TASKS})
    optimizer = torch.optim.Adam(_parameters(nn.ModuleList([encoder, sharing, heads]), sharing, 0.01), lr=0.01)
    for _ in range(steps):
        rows = torch.randint(len(pixels), (128,))
        representations = sharing({"features": pixels[rows]}, TASKS)
        outputs = {task: heads[task](representations[task].pooled) for task in TASKS}
        losses = [nn.functional.cross_entropy(outputs[task], labels[task][rows]) for task in TASKS]
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack([*losses, *sharing.terms().values()]).sum())
        optimizer.step()
    return sharing.eval()


def _parameters(modules: nn.Module, sharing: Sharing, lr: float) -> list[dict[str, Any]]:
    """Groups of parameters for an optimizer: some of the sharing's have learning rates of their own."""
    own: list[dict[str, Any]] = [
        {"params": parameters, "lr": lr * factor} for factor, parameters in sharing.lr_factors().values()
    ]
    taken = {id(parameter) for group in own for parameter in group["params"]}
    return [{"params": [each for each in modules.parameters() if id(each) not in taken]}, *own]


def table(seeds: Sequence[int], pairs: int = 4_000, steps: int = _STEPS) -> str:
    """The agreement of each method with the known groups, a column for each seed, in Markdown.

    Args:
        seeds: Each of them has its own pairs, questions and initial weights, and one model of each method.
        pairs: Number of training images.
        steps: Of each run.
    """
    lines = [f"| | {' | '.join(map(str, seeds))} | mean |", "|---" * (len(seeds) + 2) + "|"]
    problems = {seed: tensors(seed, pairs) for seed in seeds}
    for name, method in METHODS.items():
        models = [trained(method, seed, *problems[seed], steps) for seed in seeds]
        agreements = [agreement(two_clusters(method.read(model)), KNOWN) for model in models]
        lines.append(f"| {name} | " + " | ".join(f"{each:.2f}" for each in [*agreements, np.mean(agreements)]) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.sharing.groups", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them (default: %(default)s)")
    given = parser.parse_args(arguments)
    print(table(range(given.first, given.first + given.seeds)), end="")


if __name__ == "__main__":
    main()
