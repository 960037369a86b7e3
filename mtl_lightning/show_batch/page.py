"""A step as one page that needs nothing but itself."""

from base64 import b64encode
from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np

from mtl_lightning.encoders.shown import Numbers, Picture, Shown, Tokens
from mtl_lightning.png import png
from mtl_lightning.show_batch.forms import bytes_of, columns_of, numbers
from mtl_lightning.show_batch.view import NO_LABEL, ExampleView, PartView, StepView
from mtl_lightning.terminal import printable

_STYLE = Path(__file__).with_name("page.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_SMALL = 64
"""Width of a picture, in pixels, up to which its pixels are drawn larger."""


def page(step: StepView) -> str:
    """The page's HTML. What comes from data is escaped; a policy in the page forbids scripts and requests."""
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(step.title)}</title>\n<style>{_STYLE.read_text('utf-8')}</style>\n</head>\n<body>",
            f"<header>\n<h1>{_text(step.title)}</h1>",
            *(f"<p>{_text(note)}</p>" for note in step.notes),
            _LEGEND if step.labels_tokens else "",
            "</header>\n<main>",
            *(line for part in step.parts for line in _part(part)),
            "</main>\n</body>\n</html>\n",
        ]
    )


_LEGEND = (
    '<p class="legend"><span class="token trained">trained on</span> <span class="token text">not trained on</span> '
    '<span class="token special">special</span> <span class="token padding">padding</span> '
    f"{NO_LABEL} no label</p>"
)


def _part(part: PartView) -> Iterator[str]:
    yield f"<section>\n<h2>{_text(part.name)}</h2>\n<p>{_text(part.facts())}</p>"
    yield '<table>\n<tr><th>task</th><th>class</th><th class="number">labels</th>'
    yield '<th class="number">share in its loss</th><th class="number">weight</th></tr>'
    for task in part.tasks:
        numbers_of = "".join(f'<td class="number">{each}</td>' for each in (f"{task.num_labels:,}", *task.cells()))
        yield f"<tr><td>{_text(task.name)}</td><td>{_text(task.kind)}</td>{numbers_of}</tr>"
    yield "</table>"
    yield from (f'<p class="row">{_text(row)}</p>' for row in part.rows())
    for example in part.examples:
        yield from _example(example, part)
    yield "</section>"


def _example(example: ExampleView, part: PartView) -> Iterator[str]:
    yield f"<article>\n<h3>{example.number}. {_text(example.origin.where)}</h3>\n<dl>"
    for shown in example.inputs:
        yield f"<dt>{_text(shown.name)}</dt><dd>{_input(shown, example, part)}</dd>"
    if example.origin.num_lost:
        rest = f"{example.origin.num_lost:,} more: {example.origin.cut_off}"
        yield f'<dt>cut off</dt><dd class="cut">{_text(rest)}</dd>'
    for task, label in example.targets.items():
        kind, said = ("missing", "missing") if label is None else ("label", label)
        yield f'<dt>{_text(task)}</dt><dd class="{kind}">{_text(said)}</dd>'
    yield "</dl>\n</article>"


def _input(shown: Shown, example: ExampleView, part: PartView) -> str:
    match shown:
        case Tokens():
            return _gloss(shown, example)
        case Numbers(name, values):
            return _text(numbers(values, part.columns.get(name, ())))
        case Picture(name, pixels):
            return _picture(name, pixels)


def _gloss(tokens: Tokens, example: ExampleView) -> str:
    """Tokens in columns, each with the labels beside it."""
    rows, trained = example.columns_of(tokens)
    head = "".join(f"<span>{_text(task)}</span>" for task in rows)
    found = [f'<span class="column head"><span>&nbsp;</span>{head}</span>'] if head else []
    part = 0
    for piece, below, is_trained in columns_of(tokens.pieces, list(rows.values()), trained):
        starts = " starts" if piece.part > part else ""
        part = max(part, piece.part)
        kind = "trained" if is_trained else piece.mark.value
        labels = "".join(f"<span>{_text(label) or '&nbsp;'}</span>" for label in below)
        found.append(
            f'<span class="column{starts}"><span class="token {kind}">{_text(piece.text)}</span>{labels}</span>'
        )
    return f'<div class="gloss">{"".join(found)}</div>'


def _picture(name: str, pixels: np.ndarray) -> str:
    height, width = pixels.shape[:2]
    data = b64encode(png(bytes_of(pixels))).decode()
    scale = max(1, 4 * _SMALL // width) if width <= _SMALL else 1
    said = f"{name}, {height} by {width} pixels"
    return f'<img alt="{_text(said)}" width="{width * scale}" src="data:image/png;base64,{data}"> {_text(said)}'


def _text(text: str) -> str:
    return escape(printable(text).replace("\n", "⏎"))
