"""A step on a terminal."""

from collections.abc import Iterator, Sequence

import numpy as np
from rich.cells import cell_len
from rich.style import Style
from rich.table import Table
from rich.text import Text

from mtl_lightning.encoders.shown import Mark, Numbers, Picture, Shown, Tokens
from mtl_lightning.show_batch.forms import bytes_of, columns_of, numbers, smaller
from mtl_lightning.show_batch.view import NO_LABEL, TRAINED, ExampleView, PartView, StepView
from mtl_lightning.terminal import printable
from mtl_lightning.terminal.console import Console

_TRAINED = Style(bold=True, color="green")
_STYLES = {Mark.SPECIAL: Style(dim=True), Mark.PADDING: Style(dim=True)}
_SHADES = " ░▒▓█"
_MARGIN = 2
_BETWEEN = "│"
_PIXELS = 32


def print_step(step: StepView) -> None:
    """Prints it."""
    console = Console()
    console.print(step.title, style="bold")
    for note in step.notes:
        console.print(note)
    for part in step.parts:
        console.print()
        _print_part(console, part)
    if step.labels_tokens:
        console.print()
        console.print(f"Tokens in bold are trained on; {NO_LABEL} has no label, {TRAINED} is trained on.")


def _print_part(console: Console, part: PartView) -> None:
    console.print(f"{part.name}: {part.facts()}", style="bold")
    table = Table("task", "class", box=None, padding=(0, 2, 0, _MARGIN), header_style="dim")
    table.add_column("labels", justify="right")
    for heading in ("share in its loss", "weight"):
        table.add_column(heading, justify="right")
    for task in part.tasks:
        table.add_row(task.name, task.kind, f"{task.num_labels:,}", *task.cells())
    console.print(table)
    for row in part.rows():
        console.print(f"{' ' * _MARGIN}{row}")
    for example in part.examples:
        console.print()
        console.print(f"{' ' * _MARGIN}{example.number}. {example.origin.where}", style="underline", soft_wrap=True)
        for line in _example(example, part, console.width):
            console.print(line, soft_wrap=True)


def _example(example: ExampleView, part: PartView, width: int) -> Iterator[Text]:
    names = [*(shown.name for shown in example.inputs), *example.rows, *example.targets, "cut off"]
    indent = 2 * _MARGIN + max(map(cell_len, names)) + 2
    for shown in example.inputs:
        for lines in _input(shown, example, part, width - indent):
            for number, (label, line) in enumerate(lines):
                line.rstrip()
                if line or number == 0 or not label:  # no row of labels without any
                    yield _labelled(label, indent, line)
    if example.origin.num_lost:
        rest = f"{example.origin.num_lost:,} more: {' '.join(example.origin.cut_off.split())}"
        yield _labelled("cut off", indent, Text(printable(rest)[: 3 * width], Style(color="red")))
    for task, said in example.targets.items():
        style = Style(dim=True) if said is None else _TRAINED
        yield _labelled(task, indent, Text(printable("missing" if said is None else said), style))


Lines = list[tuple[str, Text]]
"""Lines with what stands before each."""


def _input(shown: Shown, example: ExampleView, part: PartView, width: int) -> Iterator[Lines]:
    match shown:
        case Tokens():
            yield from _gloss(shown, example, width)
        case Numbers(name, values):
            yield [(name, Text(numbers(values, part.columns.get(name, ()))))]
        case Picture(name, pixels):
            size = " by ".join(map(str, pixels.shape))
            yield [(name, Text(size)), *(("", line) for line in _drawn(pixels))]


def _gloss(tokens: Tokens, example: ExampleView, width: int) -> Iterator[Lines]:
    """Tokens with labels below them, as many in a line as fit."""
    rows, trained = example.columns_of(tokens)
    lines: Lines = []
    used, part = 0, 0
    for piece, below, is_trained in columns_of(tokens.pieces, list(rows.values()), trained):
        cells = [printable(text).replace("\n", "⏎").replace("\t", "⇥") for text in (piece.text, *below)]
        size = max(map(cell_len, cells)) + 1
        if not lines or used + size > width:
            yield lines
            lines, used = [(label, Text()) for label in (tokens.name, *rows)], 0
        if piece.part != part and piece.mark is not Mark.PADDING:
            _put(lines, [_BETWEEN] * len(lines), [None] * len(lines), 2)
            used, part = used + 2, piece.part
        style = _TRAINED if is_trained else _STYLES.get(piece.mark)
        _put(lines, cells, [style, *[_TRAINED if is_trained else None for _ in below]], size)
        used += size
    yield lines


def _put(lines: Lines, cells: Sequence[str], styles: Sequence[Style | None], size: int) -> None:
    for (_, line), cell, style in zip(lines, cells, styles, strict=True):
        line.append(cell, style)
        line.append(" " * (size - cell_len(cell)))


def _drawn(pixels: np.ndarray) -> Iterator[Text]:
    """A picture of blocks, two characters a pixel, and in colour where it has some."""
    small = bytes_of(smaller(pixels, _PIXELS)).astype(int)
    bright = small if small.ndim == 2 else small.mean(-1)
    for row, shades in zip(small, bright, strict=True):
        line = Text()
        for pixel, shade in zip(row, shades, strict=True):
            style = None if small.ndim == 2 else Style(color="rgb({},{},{})".format(*pixel))
            line.append(2 * _SHADES[round(shade / 255 * (len(_SHADES) - 1))], style)
        yield line


def _labelled(label: str, indent: int, line: Text) -> Text:
    name = f"{' ' * 2 * _MARGIN}{printable(label)}"
    return Text(f"{name}{' ' * (indent - cell_len(name))}", Style(dim=True)).append_text(line)
