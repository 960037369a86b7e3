"""When the pruned model is pruned."""


def half_after_one_epoch(epoch: int) -> float:
    """The share of weights that an epoch ends with pruning; those that are left train on."""
    return 0.5 if epoch == 0 else 0.0
