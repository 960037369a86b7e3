"""Keeps what is not a result off the screen."""

import logging
import warnings


def silence() -> None:
    """Hides hints of Lightning, remarks on the data, and warnings of libraries."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero", "mtl_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", message=".*batching rule for aten::_scaled_dot_product")  # TorchJD's vmap
