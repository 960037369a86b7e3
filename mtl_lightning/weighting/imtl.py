"""IMTL: losses scaled to be equal, gradients weighted to project equally."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mtl_lightning.weighting.adam import adam_step
from mtl_lightning.weighting.arguments import positive
from mtl_lightning.weighting.base import GramianWeighting
from mtl_lightning.weighting.imtl_g import impartial_weights
from mtl_lightning.weighting.solvers import normalise, scatter


class IMTL(GramianWeighting):
    r"""IMTL-L, which scales the losses, and IMTL-G on the gradients of the scaled ones.

    Every loss is scaled by :math:`e^{s_t}`, and :math:`s_t` is trained on :math:`e^{s_t} \ell_t - s_t`, the minimum of
    which makes all scaled losses 1; one that is not positive has no minimum, and its scale grows without end. The
    weights :math:`\alpha_t e^{s_t}` have the direction of IMTL-G, as that does not depend on the scales, and another
    length.

    Reference: Liu et al., "Towards Impartial Multi-task Learning" (ICLR 2021), algorithm 1. Difference: as for IMTLG;
    and :math:`s_t` is trained on the host, by Adam with a learning rate of its own, not by the model's optimizer. The
    heads receive the gradient of the scaled loss only with ``head_gradients: weighted``, and weighted too.

    Helps: as IMTLG, with a length of the step that follows the scaled losses. It reaches the front from all starts of
    ``experiments/toy``. Fails: as IMTLG; and the scales move by about ``learning_rate`` a step, so that they have
    little effect in short runs.

    Args:
        tasks: Names of the K tasks.
        learning_rate: Of the :math:`s_t`; positive.

    >>> weighting = IMTL(["a", "b"], learning_rate=0.1)
    >>> gramian = torch.tensor([[1.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    >>> losses = torch.tensor([2.0, 0.5], dtype=torch.float64)
    >>> [weighting(gramian, losses, torch.arange(2)).numpy().round(3).tolist() for _ in range(2)]
    [[0.75, 0.25], [0.711, 0.237]]
    """

    log_scales: Tensor
    moments: Tensor

    def __init__(self, tasks: Sequence[str], learning_rate: float = 1e-3) -> None:
        super().__init__(tasks)
        self.learning_rate = positive("learning_rate", learning_rate)
        self.add_state("log_scales", torch.zeros(len(self.tasks), dtype=torch.float64))
        self.add_state("moments", torch.zeros(3, len(self.tasks), dtype=torch.float64))

    def forward(self, gramian: Tensor, losses: Tensor, tasks: Tensor) -> Tensor:
        cosines, norms, active = normalise(gramian)
        scales = np.exp(self.log_scales.numpy()[tasks.numpy()])
        weights = impartial_weights(cosines, norms * scales[active]) * scales[active]
        moments = self.moments.numpy()[:, tasks.numpy()]
        step = adam_step(scales * losses.numpy() - 1, moments)
        self.log_scales[tasks] -= self.learning_rate * torch.from_numpy(step)
        self.moments[:, tasks] = torch.from_numpy(moments)
        return scatter(weights, active)
