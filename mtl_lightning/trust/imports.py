"""Which modules a configuration may import."""

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

KNOWN = ("mtl_lightning", "torch", "lightning", "transformers")
"""Packages whose classes a checkpoint of anybody may name."""

_SHOWN = 120
"""Letters of a name."""


class Imports:
    """What a configuration may import: all of the user's own; of one that came out of a checkpoint, what is trusted.

    Args:
        checkpoint: Whose configuration it is; null: the user's own.
        places: Where the packages were when the user's own run wrote the checkpoint; null: nobody knows who wrote it.
        trusted: Classes, functions and modules that the user trusts by name, with all that is in them.
        option: How the user says that he trusts ``{}``.
    """

    def __init__(
        self,
        checkpoint: str | None = None,
        places: Mapping[str, str] | None = None,
        trusted: Iterable[str] = (),
        option: str = "--trust_classes {}",
    ) -> None:
        self._checkpoint = checkpoint
        self._places = places
        self._trusted = {name.strip() for name in trusted if name.strip()}
        self._option = option

    def is_strict(self, path: str) -> bool:
        """Whether a name is somebody else's: then it must be that of a class of a known kind."""
        return self._checkpoint is not None and self._places is None and not self._is_trusted(path)

    def refusal(self, path: str) -> str | None:
        """Why a name may not be imported; null: it may."""
        package = path.partition(".")[0]
        if self._checkpoint is None or self._is_trusted(path) or (package in KNOWN and self._may_see(path)):
            return None
        if self._places is None:
            return self._said(path, "carries no signature of yours, so somebody else may have written it")
        was, now = self._places.get(package), place(package)
        if was is None or was != now:
            moved = f"was {was} then and is {now or 'nowhere'} now" if was else "was not there then"
            return self._said(path, f"was written by you, but '{package}' {moved}")
        return None

    def refusal_of_origin(self, path: str, found: Any) -> str | None:
        """Why an object may not be used that a known package has only imported; null: it may."""
        home = str(getattr(found, "__module__", None) or type(found).__module__)
        if not self.is_strict(path) or home.partition(".")[0] in KNOWN:
            return None
        return self._said(path, f"takes it from '{home}' by a roundabout way")

    def may_be_in(self, folder: Path) -> bool:
        """Whether something in a folder may have to be imported."""
        if self._checkpoint is None or self._trusted:
            return True
        return any(Path(where).is_relative_to(folder.resolve()) for where in (self._places or {}).values())

    def _may_see(self, path: str) -> bool:
        """Whether a name of a known package is a public one, or the user's own run has named it."""
        return self._places is not None or not any(part.startswith("_") for part in path.split("."))

    def _is_trusted(self, path: str) -> bool:
        parts = path.split(".")
        return any(".".join(parts[:end]) in self._trusted for end in range(1, len(parts) + 1))

    def _said(self, path: str, why: str) -> str:
        return f"{self._checkpoint} {why}; if you trust it: {self._option.format(cut(path))}"


def cut(name: str) -> str:
    """A name as messages show it."""
    return name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"


def places(config: Any) -> dict[str, str]:
    """Where the packages are whose classes a configuration names, as far as they are imported."""
    packages = {text.partition(".")[0] for text in _texts(config) if "." in text}
    return {name: place(name) for name in sorted(packages - {*KNOWN}) if name in sys.modules}


def place(package: str) -> str:
    """The file or folder that a package is imported from, without importing it; empty: there is none."""
    module = sys.modules.get(package)
    try:
        spec = module if module is not None else find_spec(package)
    except (ImportError, ValueError):
        return ""
    file = getattr(spec, "__file__", None) or getattr(spec, "origin", None)
    folders = list(getattr(spec, "__path__", None) or getattr(spec, "submodule_search_locations", None) or ())
    found = file if file and file != "namespace" else next(iter(folders), None)
    return "" if found is None else str(Path(found).resolve())


def loaded(path: str) -> Any:
    """What a path names, as far as its module is imported; null: it is not, or has no such name."""
    module, _, name = path.rpartition(".")
    return getattr(sys.modules.get(module), name, None)


def classes_in(values: Collection[Any]) -> set[str]:
    """The classes that a user names by path in some values, which are his to import."""
    return {text for text in _texts(list(values)) if "." in text and text.rpartition(".")[2][:1].isupper()}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (*_texts(key), *_texts(item))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
