"""How long a comparison will take."""

from rich.console import Console

from mtl_lightning.compare.plan import Plan
from mtl_lightning.compare.store import Store


def show_estimate(plan: Plan, store: Store, console: Console) -> None:
    """Prints it."""
