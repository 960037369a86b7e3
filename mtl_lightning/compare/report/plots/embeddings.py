"""How alike the tasks' embeddings are: a matrix a contestant."""

from typing import TYPE_CHECKING

from mtl_lightning.compare.report.plots.cosines import matrices
from mtl_lightning.compare.report.plots.looks import Material, NothingToShowError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def embeddings(material: Material) -> "tuple[Figure, str]":
    """The cosine between each two tasks' vectors at the end of training, the mean over seeds."""
    found = material.evidence.similarity
    if found.empty:
        raise NothingToShowError
    return matrices(
        material, found, "Cosine between the learned embeddings of two tasks at the end of training, mean over seeds."
    )
