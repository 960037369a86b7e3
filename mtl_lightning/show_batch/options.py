"""The options of ``show-batch``; all others are those of ``fit``."""

from collections.abc import Sequence
from dataclasses import dataclass

from mtl_lightning.errors import UserError
from mtl_lightning.paths import expanded
from mtl_lightning.terminal.commands import OptionParser

HELP = """\
usage: mtl-lightning show-batch [--config FILE ...] [--KEY VALUE ...]

Print what a training step really sees: the data sets that the schedule draws, examples as the model gets them, and
their targets in words. Nothing is trained, no weights are loaded, and no file is written but that of --html.

options:
  --config FILE                       and all other options of fit: a configuration, and changes to it
  --ckpt_path FILE|FOLDER|last|best   take the configuration of a run, or of the last run of --name
  --step N                            which step of the run, over all epochs (default: 1, the first)
  --examples N                        how many examples of each data set (default: 3)
  --datasets NAME[,NAME...]           show these data sets alone (default: all that the step draws)
  --html FILE                         also write it as a page that needs nothing but itself
"""


@dataclass(frozen=True)
class Options:
    """What to show.

    Attributes:
        step: Number of the step, from 1.
        examples: Number of examples of each data set.
        datasets: Names of those to show; null: all that the step draws.
        html: Page to write; null: none.
    """

    step: int = 1
    examples: int = 3
    datasets: tuple[str, ...] | None = None
    html: str | None = None


def parsed(arguments: Sequence[str]) -> tuple[Options, list[str]]:
    """The options, and what is left for ``fit``.

    Raises:
        UserError: If one is not understood.
    """
    parser = OptionParser("show-batch")
    for name in ("step", "examples", "datasets", "html"):
        parser.add_argument(f"--{name}")
    given, rest = parser.parse_known_args(list(arguments))
    step, examples = _number("step", given.step, 1), _number("examples", given.examples, 3)
    names = None if given.datasets is None else tuple(filter(None, map(str.strip, given.datasets.split(","))))
    if names == () or given.html == "":
        raise UserError(f"--{'html' if names else 'datasets'} is empty; give it a value, or leave it out")
    return Options(step, examples, names, given.html and expanded(given.html, "--html")), rest


def _number(name: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"--{name}: expected a number, at least 1, found '{text}'")
    return int(text)
