"""Whether the files that data sets read are there, before a job or a comparison finds out."""

from argparse import ArgumentError
from collections.abc import Mapping
from typing import Any

from mtl_lightning.errors import UserError


def missing_files(datasets: Mapping[str, Any]) -> str:
    """What is said of the first data set whose files are not there; nothing if they all are.

    Args:
        datasets: As the whole config that ``fit`` prints describes them.
    """
    from jsonargparse import ArgumentParser

    from mtl_lightning.data import DataSource

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--datasets", type=dict[str, DataSource])
    try:
        sources = parser.instantiate(parser.parse_object({"datasets": datasets})).datasets
    except (ArgumentError, ValueError):  # the runs say what is wrong with it
        return ""
    for name, source in sources.items():
        try:
            source.check_files()
        except UserError as error:
            return f"data.datasets.{name}: {error}"
    return ""
