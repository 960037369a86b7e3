"""The rooms of the package and the imports between them: ``make rooms``."""

from collections import Counter
from collections.abc import Iterable, Iterator

import grimp

PACKAGE = "mtl_lightning"
GRAPH = grimp.build_graph(PACKAGE, cache_dir=None)


def room(module: str) -> str:
    """The folder or file at the top of the package that a module stands in."""
    return module.split(".")[1] if "." in module else PACKAGE


def imports() -> Iterator[tuple[str, str]]:
    """Pairs of modules, the first of which imports the second."""
    for module in GRAPH.modules:
        yield from ((module, imported) for imported in GRAPH.find_modules_directly_imported_by(module))


def arrows(pairs: Iterable[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """How many imports there are from one place to another."""
    return Counter((start, end) for start, end in pairs if start != end)


def circles(edges: Iterable[tuple[str, str]]) -> list[set[str]]:
    """Groups of places that import each other, directly or by way of others."""
    leads_to: dict[str, set[str]] = {}
    for start, end in edges:
        if start != end:
            leads_to.setdefault(start, set()).add(end)
    reached = {place: _reachable(place, leads_to) for place in leads_to}
    groups = {frozenset({p, *(q for q in reached[p] if p in reached.get(q, ()))}) for p in reached if p in reached[p]}
    return sorted(map(set, groups), key=sorted)


def _reachable(place: str, leads_to: dict[str, set[str]]) -> set[str]:
    found, todo = set(), list(leads_to[place])
    while todo:
        if (next_place := todo.pop()) not in found:
            found.add(next_place)
            todo += leads_to.get(next_place, ())
    return found


def report() -> str:
    """Rooms, imports between them, circles of rooms and of files; then each arrow with its number of imports."""
    between = arrows((room(start), room(end)) for start, end in imports())
    lines = [
        f"{len({room(module) for module in GRAPH.modules})} rooms at the top of {PACKAGE}, {len(between)} arrows "
        f"between them, {sum(between.values())} imports",
        f"circles of rooms: {circles(between) or 'none'}",
        f"circles of files: {circles(imports()) or 'none'}",
        *(f"{count:4}  {start} → {end}" for (start, end), count in sorted(between.items())),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(report())
