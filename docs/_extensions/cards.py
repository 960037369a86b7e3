"""What the cards of weightings and sharings are made of, in reStructuredText."""

from collections.abc import Iterator, Sequence

from docstrings import Option


def section(title: str) -> tuple[str, ...]:
    """Its heading."""
    return (title, "-" * len(title), "")


def option_table(options: Sequence[Option]) -> Iterator[str]:
    """What can be set, or that there is nothing."""
    if not options:
        yield "None of its own."
        return
    rows = [
        (f"``{option.name}``", f"``{option.default}``" if option.default else "must be given", option.meaning)
        for option in options
    ]
    yield from list_table(("option", "default", "meaning"), rows)


def ratio(value: float) -> str:
    """How often something is contained."""
    return f"\N{MULTIPLICATION SIGN} {value:.2f}"


def list_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table."""
    yield from (".. list-table::", "   :header-rows: 1", "")
    for row in (heading, *rows):
        yield from (f"   {'*' if index == 0 else ' '} - {text}".rstrip() for index, text in enumerate(row))
