"""Rooms with things in them, as a camera sees them: colours, classes, depth and surface normals.

Everything is computed by additions, products, quotients and square roots of double precision, element by element: the
result is the same on every machine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Vector = tuple[Array, Array, Array]
"""x, y and z of many vectors; a scene has y upwards."""

CLASSES = ("ceiling", "floor", "wall", "sphere", "box", "cylinder", "cone", "table")
HEIGHT, WIDTH = 72, 96
_NEAR = 1e-6
_SHORT_SIDE = 0.75
"""Half the width of what the camera sees at distance 1."""


class Hits(NamedTuple):
    """Where rays meet a surface.

    Attributes:
        distance: Along the ray, infinite where it does not [N].
        normal: Of the surface there, of length 1.
    """

    distance: Array
    normal: Vector


Surface = Callable[[Vector, Vector], Hits]
"""Origins and directions of rays → where they meet it."""


@dataclass(frozen=True)
class Thing:
    """One thing in a room.

    Args:
        name: Its class.
        surface: Its shape, around its own origin on the floor.
        place: Where that is.
        turn: Cosine and sine of its turn around the vertical.
        colour: Red, green and blue, 0 to 1.
    """

    name: str
    surface: Surface
    place: tuple[float, float, float]
    turn: tuple[float, float]
    colour: tuple[float, float, float]


class View(NamedTuple):
    """What a camera sees.

    Attributes:
        rgb: uint8 [H, W, 3].
        seg: Class numbers, uint8 [H, W].
        depth: Metres along the optical axis [H, W].
        normal: In the camera's frame, x right, y up, z forward [H, W, 3].
    """

    rgb: npt.NDArray[np.uint8]
    seg: npt.NDArray[np.uint8]
    depth: Array
    normal: Array


# -- shapes ------------------------------------------------------------------------------------------------------------
def sphere(radius: float) -> Surface:
    """A ball on the floor."""

    def meet(origin: Vector, ray: Vector) -> Hits:
        x, y, z = origin[0], origin[1] - radius, origin[2]
        half, rest = _dot((x, y, z), ray), x * x + y * y + z * z - radius * radius
        distance = _first(_dot(ray, ray), half, rest)[0]
        point = _at((x, y, z), ray, distance)
        return Hits(distance, _over(point, radius))

    return meet


def slab(low: Sequence[float], high: Sequence[float], inside: bool = False) -> Surface:
    """A box between two corners; ``inside``: its walls as seen from within."""

    def meet(origin: Vector, ray: Vector) -> Hits:
        enter, leave = np.full_like(ray[0], -np.inf), np.full_like(ray[0], np.inf)
        axis_in: npt.NDArray[Any] = np.zeros(ray[0].shape, int)
        axis_out = axis_in
        for axis in range(3):
            first, second = ((side[axis] - origin[axis]) / ray[axis] for side in (low, high))
            near, far = np.minimum(first, second), np.maximum(first, second)
            axis_in, enter = np.where(near > enter, axis, axis_in), np.maximum(near, enter)
            axis_out, leave = np.where(far < leave, axis, axis_out), np.minimum(far, leave)
        hit = (enter <= leave) & ((leave if inside else enter) > _NEAR)
        distance = np.where(hit, leave if inside else enter, np.inf)
        side = axis_out if inside else axis_in
        x, y, z = (np.where(side == i, -np.sign(ray[i]), 0.0) for i in range(3))
        return Hits(distance, (x, y, z))

    return meet


def cone(bottom: float, top: float, height: float) -> Surface:
    """An upright cone on the floor, cut off at a height: radii at the bottom and at the top; equal ones: a cylinder."""
    slope = (bottom - top) / height

    def meet(origin: Vector, ray: Vector) -> Hits:
        radius, shrink = bottom - slope * origin[1], -slope * ray[1]
        square = ray[0] * ray[0] + ray[2] * ray[2] - shrink * shrink
        half = origin[0] * ray[0] + origin[2] * ray[2] - radius * shrink
        rest = origin[0] * origin[0] + origin[2] * origin[2] - radius * radius
        best, normal = np.full_like(ray[0], np.inf), (np.zeros_like(ray[0]),) * 3
        length = np.sqrt(1 + slope * slope)
        for distance in _first(square, half, rest):
            x, y, z = _at(origin, ray, distance)
            hit = (y >= 0) & (y <= height) & (distance < best)
            around = np.maximum(np.sqrt(x * x + z * z), _NEAR)
            side = (x / around / length, np.full_like(x, slope / length), z / around / length)
            best, normal = np.where(hit, distance, best), _where(hit, side, normal)
        distance = (height - origin[1]) / ray[1]
        x, _, z = _at(origin, ray, distance)
        hit = (x * x + z * z <= top * top) & (distance > _NEAR) & (distance < best)
        up = (np.zeros_like(x), np.ones_like(x), np.zeros_like(x))
        return Hits(np.where(hit, distance, best), _where(hit, up, normal))

    return meet


def table(width: float, depth: float, height: float) -> Surface:
    """A top on four legs."""
    x, z, thick = width / 2, depth / 2, 0.05
    parts = [slab((-x, height - thick, -z), (x, height, z))]
    for left, front in ((-x, -z), (-x, z - thick), (x - thick, -z), (x - thick, z - thick)):
        parts.append(slab((left, 0.0, front), (left + thick, height - thick, front + thick)))

    def meet(origin: Vector, ray: Vector) -> Hits:
        found = parts[0](origin, ray)
        for part in parts[1:]:
            other = part(origin, ray)
            closer = other.distance < found.distance
            found = Hits(np.where(closer, other.distance, found.distance), _where(closer, other.normal, found.normal))
        return found

    return meet


# -- scenes ------------------------------------------------------------------------------------------------------------
def scene(draw: np.random.Generator) -> View:
    """A room that is drawn at random, with two to six things, seen from a place in it."""
    width, height, length = _between(draw, 3.0, 6.0), _between(draw, 2.3, 3.0), _between(draw, 3.0, 7.0)
    room = slab((-width / 2, 0.0, 0.0), (width / 2, height, length), inside=True)
    things = [_thing(draw, width, length) for _ in range(2 + int(draw.random() * 5))]
    eye = (_between(draw, -0.2, 0.2) * width, _between(draw, 1.2, 1.7), _between(draw, 0.05, 0.2) * length)
    yaw, pitch = _turn(_between(draw, -0.25, 0.25)), _turn(_between(draw, -0.2, 0.02))
    colours = [_colour(draw, 0.35) for _ in range(3)]
    lamp = (_between(draw, -0.4, 0.4) * width, 0.95 * height, _between(draw, 0.2, 0.8) * length)
    return _seen(room, things, eye, yaw, pitch, colours, lamp, draw)


def _thing(draw: np.random.Generator, width: float, length: float) -> Thing:
    name = CLASSES[3 + int(draw.random() * 5)]
    size = _between(draw, 0.2, 0.5)
    shapes: dict[str, Callable[[], Surface]] = {
        "sphere": lambda: sphere(size),
        "box": lambda: slab((-size, 0.0, -size), (size, _between(draw, 0.3, 1.4), size)),
        "cylinder": lambda: cone(0.7 * size, 0.7 * size, _between(draw, 0.4, 1.4)),
        "cone": lambda: cone(size, 0.0, _between(draw, 0.5, 1.3)),
        "table": lambda: table(3 * size, 2 * size, _between(draw, 0.6, 0.85)),
    }
    place = (_between(draw, -0.4, 0.4) * width, 0.0, _between(draw, 0.35, 0.85) * length)
    return Thing(name, shapes[name](), place, _turn(_between(draw, -0.4, 0.4)), _colour(draw, 0.1))


def _seen(
    room: Surface,
    things: Sequence[Thing],
    eye: tuple[float, float, float],
    yaw: tuple[float, float],
    pitch: tuple[float, float],
    colours: Sequence[tuple[float, float, float]],
    lamp: tuple[float, float, float],
    draw: np.random.Generator,
) -> View:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(float).reshape(2, -1)
    step = 2 * _SHORT_SIDE / WIDTH
    ray = ((columns + 0.5 - WIDTH / 2) * step, (HEIGHT / 2 - rows - 0.5) * step, np.ones(len(rows)))  # depth 1
    ray = _turned(_tilted(ray, pitch), yaw)
    origin = tuple(np.full(len(rows), value) for value in eye)
    hits = room(origin, ray)  # type: ignore[arg-type]
    up = hits.normal[1]
    seg = np.where(up < -0.5, 0, np.where(up > 0.5, 1, 2))
    colour: Vector = tuple(np.choose(seg, [each[i] for each in colours]) for i in range(3))  # type: ignore[assignment]
    distance, normal = hits.distance, hits.normal
    for thing in things:
        back = (thing.turn[0], -thing.turn[1])
        local = tuple(value - place for value, place in zip(origin, thing.place, strict=True))
        found = thing.surface(_turned(local, back), _turned(ray, back))  # type: ignore[arg-type]
        closer = found.distance < distance
        distance = np.where(closer, found.distance, distance)
        normal = _where(closer, _turned(found.normal, thing.turn), normal)
        seg = np.where(closer, CLASSES.index(thing.name), seg)
        colour = _where(closer, tuple(np.full(len(rows), value) for value in thing.colour), colour)  # type: ignore[arg-type]
    point = _at(origin, ray, distance)  # type: ignore[arg-type]
    light: Vector = tuple(place - value for place, value in zip(lamp, point, strict=True))  # type: ignore[assignment]
    far = np.sqrt(_dot(light, light))
    bright = 0.35 + 0.65 * np.maximum(_dot(light, normal) / far, 0.0) / (1 + 0.04 * far * far)
    noise = 0.04 * (draw.random((3, len(rows))) - 0.5)
    rgb = [np.clip(part * bright + grain, 0.0, 1.0) for part, grain in zip(colour, noise, strict=True)]
    seen = _tilted(_turned(normal, (yaw[0], -yaw[1])), (pitch[0], -pitch[1]))
    shape = (HEIGHT, WIDTH)
    return View(
        np.stack([np.floor(part * 255 + 0.5).reshape(shape) for part in rgb], -1).astype(np.uint8),
        seg.reshape(shape).astype(np.uint8),
        distance.reshape(shape),
        np.stack([part.reshape(shape) for part in seen], -1),
    )


# -- arithmetic --------------------------------------------------------------------------------------------------------
def _between(draw: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(draw.random())


def _colour(draw: np.random.Generator, least: float) -> tuple[float, float, float]:
    red, green, blue = (_between(draw, least, 0.95) for _ in range(3))
    return red, green, blue


def _turn(half: float) -> tuple[float, float]:
    """Cosine and sine of the angle whose half has this tangent."""
    square = half * half
    return (1 - square) / (1 + square), 2 * half / (1 + square)


def _turned(v: Vector, turn: tuple[float, float]) -> Vector:
    """Around the vertical."""
    return turn[0] * v[0] + turn[1] * v[2], v[1], turn[0] * v[2] - turn[1] * v[0]


def _tilted(v: Vector, turn: tuple[float, float]) -> Vector:
    """Around the axis to the right: upwards."""
    return v[0], turn[0] * v[1] + turn[1] * v[2], turn[0] * v[2] - turn[1] * v[1]


def _dot(first: Vector, second: Vector) -> Array:
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def _at(origin: Vector, ray: Vector, distance: Array) -> Vector:
    finite = np.where(np.isfinite(distance), distance, 0.0)
    x, y, z = (start + finite * step for start, step in zip(origin, ray, strict=True))
    return x, y, z


def _over(v: Vector, number: float) -> Vector:
    return v[0] / number, v[1] / number, v[2] / number


def _where(which: npt.NDArray[np.bool_], first: Vector, second: Vector) -> Vector:
    x, y, z = (np.where(which, one, other) for one, other in zip(first, second, strict=True))
    return x, y, z


def _first(square: Array, half: Array, rest: Array) -> tuple[Array, Array]:
    """The two solutions of ``square t² + 2 half t + rest = 0``, the smaller first; infinite where not ahead."""
    inside = half * half - square * rest
    root = np.sqrt(np.maximum(inside, 0.0))
    safe = np.where(np.abs(square) < 1e-12, 1e-12, square)
    one, other = (-half - root) / safe, (-half + root) / safe
    ahead = [np.where((inside >= 0) & (each > _NEAR), each, np.inf) for each in (one, other)]
    return np.minimum(*ahead), np.maximum(*ahead)
