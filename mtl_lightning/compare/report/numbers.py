"""Numbers as a reader wants them: as many digits as the interval supports, a true minus, a dash where there is none."""

from collections.abc import Iterable
from math import floor, isfinite, log10

MISSING, MINUS, TIMES = "\u2013", "\u2212", "\u00d7"
MOST_PLACES = 4


def places(halves: Iterable[float], values: Iterable[float] = ()) -> int:
    """Decimal places for a column of means: two significant digits of the middle half-width of its intervals.

    Args:
        halves: Half-widths of the intervals; those that are not finite or zero do not count.
        values: The means, which decide with three significant digits where there is no interval.

    >>> places([0.012, 0.02, float("nan")])
    3
    >>> places([], [0.5123])
    3
    """
    widths = sorted(half for half in halves if isfinite(half) and half > 0)
    if widths:
        return _places(widths[len(widths) // 2], 2)
    sizes = [abs(value) for value in values if isfinite(value) and value != 0]
    return _places(max(sizes), 3) if sizes else 2


def _places(size: float, digits: int) -> int:
    return min(max(digits - 1 - floor(log10(size)), 0), MOST_PLACES)


def number(value: float, digits: int, signed: bool = False) -> str:
    """A number with a fixed count of decimals.

    >>> number(0.5, 1, signed=True), number(-0.001, 2), number(-0.5, 2) == MINUS + "0.50"
    ('+0.5', '0.00', True)
    """
    if not isfinite(value):
        return MISSING
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def with_interval(mean: float, low: float, high: float, digits: int, signed: bool = False) -> str:
    """Mean ± half the width of its interval; the mean alone where there is no interval.

    >>> with_interval(0.91234, 0.9, 0.92, 3)
    '0.912 ± 0.010'
    """
    half = (high - low) / 2
    text = number(mean, digits, signed)
    return f"{text} ± {number(half, digits)}" if isfinite(half) and isfinite(mean) else text


def span(low: float, high: float, digits: int, signed: bool = False) -> str:
    """An interval in brackets.

    >>> span(1, 2, 1, signed=True)
    '[+1.0, +2.0]'
    """
    return f"[{number(low, digits, signed)}, {number(high, digits, signed)}]"


def probability(value: float) -> str:
    """A p-value or a probability.

    >>> probability(0.00002), probability(0.0432)
    ('< 0.001', '0.043')
    """
    return "< 0.001" if value < 0.0005 else number(value, 3)


def amount(value: float, unit: str) -> str:
    """A quantity with three significant digits and a prefix that fits.

    >>> amount(0.0123, "s"), amount(2.5e9, "B"), amount(0.0, "s")
    ('12.3 ms', '2.50 GB', '0 s')
    """
    if not isfinite(value):
        return MISSING
    if value == 0:
        return f"0 {unit}"
    steps = [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ")]
    scale, prefix = next(((scale, prefix) for scale, prefix in steps if abs(value) >= scale), steps[-1])
    return f"{number(value / scale, _places(abs(value) / scale, 3))} {prefix}{unit}"
