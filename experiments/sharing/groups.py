"""Which tasks belong together, as sharings find it out: ``python -m experiments.sharing.groups``."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
from torch import Tensor, nn

from experiments.sharing.data import GROUPS, SideBySide
from mtl_lightning.encoders import PerceptronEncoder
from mtl_lightning.sharing import DSelectK, FiLM, LearnedBranching, Sharing

TASKS = [task for group in GROUPS.values() for task in group]
KNOWN = [number for number, group in enumerate(GROUPS.values()) for _ in group]
"""The group of each task."""


class Method(NamedTuple):
    """A way to find groups.

    Attributes:
        hidden: Widths of the encoder: so narrow that tasks of two groups are in each other's way.
        sharing: Makes a sharing of the tasks and the encoder.
        read: What the trained sharing says of each task, a vector [K, E].
        steps: Of training.
    """

    hidden: Sequence[int]
    sharing: Callable[[Sequence[str], PerceptronEncoder], Sharing]
    read: Callable[[Sharing], Tensor]
    steps: int


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
    """To which side of their mean the vectors of the tasks point."""
    vectors = sharing.observe().embeddings
    assert vectors is not None
    return nn.functional.normalize(vectors - vectors.mean(0))


METHODS: Mapping[str, Method] = {
    "gates (DSelectK)": Method(
        [3], partial(DSelectK, num_experts=2, k=1, entropy=0.0, gamma=4.0, expert_stages=1), of_gates, 500
    ),
    "tree (LearnedBranching)": Method([3], partial(LearnedBranching, num_branches=2, warmup=0), of_tree, 500),
    "embeddings (FiLM)": Method([16, 4], partial(FiLM, stages=[1], width=4), of_embeddings, 300),
}
STARTS = 10
"""How many models are asked: one alone may have settled before it found the groups."""


def two_clusters(vectors: Sequence[Tensor]) -> list[int]:
    """The cluster of each task: average linkage, cut where two remain.

    Args:
        vectors: Of the tasks, by each model [K, E]. The distance of two tasks is the mean over models of that of their
            vectors, relative to the largest of the model; one that tells no task from another has no say.
    """
    distances = [pdist(each.numpy()) for each in vectors]
    largest = [each.max() for each in distances]
    mean = np.mean([each / most if most else each for each, most in zip(distances, largest, strict=True)], 0)
    found: list[int] = fcluster(linkage(mean, "average"), 2, "maxclust").tolist()
    return found


def agreement(found: Sequence[int], known: Sequence[int]) -> float:
    """The share of the pairs of tasks that are rightly together, or rightly apart: the Rand index.

    >>> agreement([0, 0, 1, 1], [1, 1, 0, 0]), round(agreement([0, 0, 0, 1], [1, 1, 0, 0]), 2)
    (1.0, 0.5)
    """
    pairs = list(combinations(range(len(known)), 2))
    return sum((found[a] == found[b]) == (known[a] == known[b]) for a, b in pairs) / len(pairs)


def tensors(pairs: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The pixels [N, 128] and the labels of each task [N] of so many training pairs."""
    table = SideBySide(train=pairs, val=1, test=1).load()["train"].with_format("torch")
    return table["pixels"][:], {task: table[task][:] for task in TASKS}


def trained(method: Method, seed: int, pixels: Tensor, labels: Mapping[str, Tensor], steps: int) -> Sharing:
    """A sharing after training with Adam, a linear head for each task, and the sum of their losses.

    Args:
        method: What is trained.
        seed: Of the initial weights and the batches of 64.
        pixels: [N, 128].
        labels: Of each task [N].
        steps: Number of batches.
    """
    torch.manual_seed(seed)
    encoder = PerceptronEncoder(pixels.shape[1], method.hidden)
    sharing = method.sharing(TASKS, encoder)
    heads = nn.ModuleDict(
        {task: nn.Linear(sharing.features, int(classes.max()) + 1) for task, classes in labels.items()}
    )
    modules = nn.ModuleList([encoder, sharing, heads]).train()
    optimizer = torch.optim.Adam(modules.parameters(), lr=0.01)
    for _ in range(steps):
        rows = torch.randint(len(pixels), (64,))
        representations = sharing({"features": pixels[rows]}, TASKS)
        outputs = {task: heads[task](representations[task].pooled) for task in TASKS}
        losses = [nn.functional.cross_entropy(outputs[task], labels[task][rows]) for task in TASKS]
        optimizer.zero_grad()
        torch.autograd.backward(torch.stack([*losses, *sharing.terms().values()]).sum())
        optimizer.step()
    return sharing.eval()


def found(method: Method, seed: int, pixels: Tensor, labels: Mapping[str, Tensor], steps: int) -> list[int]:
    """The cluster of each task, from several starts; the arguments are those of :func:`trained`."""
    starts = range(STARTS * seed, STARTS * (seed + 1))
    return two_clusters([method.read(trained(method, start, pixels, labels, steps)) for start in starts])


def table(seeds: Sequence[int], pairs: int = 4_000, steps: int | None = None) -> str:
    """The agreement of each method with the known groups, a column for each seed, in Markdown.

    Args:
        seeds: Each of them stands for several starts.
        pairs: Training pairs.
        steps: Of each run; null: as many as a method's settings say.
    """
    pixels, labels = tensors(pairs)
    lines = [
        "| | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean |",
        "|---" * (len(seeds) + 2) + "|",
    ]
    for name, method in METHODS.items():
        length = method.steps if steps is None else steps
        agreements = [agreement(found(method, seed, pixels, labels, length), KNOWN) for seed in seeds]
        lines.append(f"| {name} | " + " | ".join(f"{each:.2f}" for each in [*agreements, np.mean(agreements)]) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.sharing.groups", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds 0 to N - 1 (default: %(default)s)")
    print(table(range(parser.parse_args(arguments).seeds)), end="")


if __name__ == "__main__":
    main()
