"""The options of ``export``: those of all formats, and what each format takes alone."""

import argparse
from argparse import Namespace
from collections.abc import Sequence

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.export.formats import FORMATS
from mtl_lightning.export.half import DEFAULT, PRECISIONS
from mtl_lightning.paths import expanded
from mtl_lightning.terminal.commands import OptionParser

_HELP = """\
usage: mtl-lightning export --ckpt_path FILE|FOLDER|best --format FORMAT --output FOLDER [--KEY VALUE ...]

Writes a trained model into a folder that other programs read. The folder appears whole or not at all; an export that
is there already is replaced, anything else is left alone.

options:
  --ckpt_path FILE|FOLDER|best      a checkpoint, a run's folder, or the last run of --name
  --format FORMAT                   {formats}
  --output FOLDER                   where to write
  --tasks NAME[,NAME...]            export these tasks alone (default: all); adapters become part of the weights
  --preference '{{TASK: NUMBER}}'     what a model of all preferences is to prefer (default: as in training)
  --half [float16|bfloat16]         weights in 16 bits (default: float16 where no type is given)
  --name NAME                       of the run (default: run)
  --trust_classes NAMES             classes or modules, separated by commas, that somebody else's checkpoint may import
{options}"""
_WIDTH = 36


def help_text() -> str:
    """What ``export --help`` prints."""
    formats = f"\n{' ' * _WIDTH}".join(f"{name}: {form.about}" for name, form in FORMATS.items())
    return _HELP.format(formats=formats, options="".join(form.help for form in FORMATS.values()))


def parsed(arguments: Sequence[str]) -> Namespace:
    """The options by name; ``tasks`` is a list of names, or null.

    Raises:
        UserError: If one is not understood, or the format does not take it.
    """
    parser = OptionParser("export", argument_default=argparse.SUPPRESS)
    for name in ("ckpt_path", "format", "output"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("tasks", "name", "trust_classes", "preference"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--half", nargs="?", const=DEFAULT, choices=tuple(PRECISIONS))
    options = {name: settings for form in FORMATS.values() for name, settings in form.options.items()}
    for name, settings in options.items():
        parser.add_argument(f"--{name}", **{key: value for key, value in settings.items() if key != "default"})
    given = parser.parse_args(list(arguments))
    if given.format not in FORMATS:
        raise UserError(f"--format: unknown format '{given.format[:80]}'; {did_you_mean(given.format, FORMATS)}")
    _refuse_others(given)
    if "://" in given.output or not given.output:
        raise UserError(f"--output: name a local folder, found '{given.output}'")
    given.output = expanded(given.output, "--output")
    given.tasks = [name.strip() for name in given.tasks.split(",")] if "tasks" in given else None
    defaults = {name: settings.get("default") for name, settings in FORMATS[given.format].options.items()}
    return Namespace(
        **{"name": "run", "trust_classes": "", "half": None, "preference": None, **defaults, **vars(given)}
    )


def _refuse_others(given: Namespace) -> None:
    """Raises :class:`UserError` of an option that only other formats take."""
    own = FORMATS[given.format].options
    for name, form in FORMATS.items():
        for option in form.options:
            if option in given and option not in own:
                raise UserError(f"--{option} is an option of `--format {name}`; leave it out")
