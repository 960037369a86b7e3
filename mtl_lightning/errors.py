"""The one exception that means "mend your input", and the sentence that names the nearest match."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """A mistake in what the user gave: a config, a file, a label. The command line prints it as one line, status 2."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """The hint that follows an unknown name.

    Args:
        name: What was found.
        choices: What would have been understood.

    Returns:
        ``did you mean 'x'?``, or the list of choices where none is near.

    >>> did_you_mean("acuracy", ["accuracy", "f1"])
    "did you mean 'accuracy'?"
    >>> did_you_mean("zzz", ["accuracy", "f1"])
    'choose from accuracy, f1'
    """
    choices = sorted(set(choices))
    lower = {choice.lower(): choice for choice in choices}
    near = get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if near:
        return f"did you mean {lower[near[0]]!r}?"
    shown = ", ".join(choices[:12])
    return f"choose from {shown}{', …' if len(choices) > 12 else ''}" if choices else "nothing may stand there"
