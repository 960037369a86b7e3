"""Clusters of numbers: k-means on a line, exactly."""

import torch
from torch import Tensor


def cluster_means(values: Tensor, masses: Tensor, num_clusters: int) -> Tensor:
    """Replaces each number by the mean of its cluster, of the clusters with the least squared distances within.

    On a line, clusters are intervals, so that a dynamic program over the cuts finds the best of them, on the device and
    without waiting for it.

    Reference: Wang and Song, "Ckmeans.1d.dp: Optimal k-means Clustering in One Dimension by Dynamic Programming" (The R
    Journal 2011), equation 1.

    Args:
        values: The numbers, of at least 0 [T].
        masses: How much each of them counts; 0 or above [T].
        num_clusters: How many there are at most.

    Returns:
        Means [T].

    >>> cluster_means(torch.tensor([9.0, 1.0, 3.0, 11.0]), torch.ones(4), 2)
    tensor([10.,  2.,  2., 10.])
    """
    size, largest = len(values), values.max().clamp(min=torch.finfo(values.dtype).tiny)
    order = values.argsort()
    points, weights = (values / largest)[order].double(), masses[order].double()
    mass, first, second = (_sums(weights * points**power) for power in range(3))
    cuts = _cuts(_within(mass, first, second), min(num_clusters, size))
    ends = torch.cat([*cuts, mass.new_full((1,), size, dtype=torch.int64)])
    starts = torch.cat([torch.zeros_like(ends[:1]), ends[:-1]])
    means = (first[ends] - first[starts]) / (mass[ends] - mass[starts]).clamp(min=torch.finfo(mass.dtype).tiny)
    cluster = (torch.arange(size, device=values.device)[:, None] >= ends).sum(1)
    return torch.zeros_like(values).scatter(0, order, means[cluster].to(values) * largest)


def _sums(terms: Tensor) -> Tensor:
    """Of the first 0 to T terms [T + 1]."""
    return torch.cat([terms.new_zeros(1), terms.cumsum(0)])


def _within(mass: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Squared distances to the mean of points i to j - 1 [T + 1, T + 1], infinite for j < i."""
    heavy, moment, square = (sums[None, :] - sums[:, None] for sums in (mass, first, second))
    spread = (square - moment.square() / heavy.clamp(min=torch.finfo(mass.dtype).tiny)).clamp(min=0.0)
    return torch.where(torch.ones_like(spread, dtype=torch.bool).triu(), spread, torch.inf)


def _cuts(within: Tensor, num_clusters: int) -> list[Tensor]:
    """Where all clusters but the last one end, each a count of points [1]."""
    best, choices = within[0], []
    for _ in range(num_clusters - 1):
        best, choice = (best[:, None] + within).min(0)
        choices.append(choice)
    cuts = [torch.full_like(choice[:1], len(within) - 1) for choice in choices[:1]]
    for choice in reversed(choices):
        cuts.append(choice[cuts[-1]])
    return cuts[:0:-1]
