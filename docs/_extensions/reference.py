"""A page for each public module, with every name of its ``__all__``: a new export is in the reference by itself.

A name that several public modules export is described once, at the innermost of them, and pointed to from the others.
"""

import inspect
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import generated
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.typing import ExtensionMetadata

GENERATED = Path("reference", "generated")


def pages(modules: Sequence[str]) -> dict[str, str]:
    """The text of each module's page in reStructuredText."""
    homes = {id(value): name for name in sorted(modules, key=_depth) for value in _exports(name).values()}
    return {name: "\n".join(_page(import_module(name), homes)) for name in modules}


def _depth(module: str) -> int:
    return module.count(".")


def _exports(module: str) -> dict[str, object]:
    """Public names and what they stand for, classes first."""
    imported = import_module(module)
    found = {name: getattr(imported, name) for name in imported.__all__}
    return dict(sorted(found.items(), key=lambda item: (not inspect.isclass(item[1]), item[0].lower())))


def _page(module: ModuleType, homes: dict[int, str]) -> Iterator[str]:
    name = module.__name__
    yield from (name, "=" * len(name), "", f".. automodule:: {name}", "")
    for export, value in _exports(name).items():
        home = homes[id(value)]
        kind = "class" if inspect.isclass(value) else "function" if inspect.isroutine(value) else "data"
        if home == name:
            yield from (f".. auto{kind}:: {name}.{export}", *_options(kind), "")
        else:
            yield from (f".. py:{kind}:: {export}", "", f"   The same as :py:obj:`{home}.{export}`.", "")


def _options(kind: str) -> list[str]:
    return ["   :members:", "   :show-inheritance:"] if kind == "class" else []


def _write(app: Sphinx) -> None:
    texts = pages(app.config.reference_modules)
    generated.write(app.srcdir / GENERATED, {f"{name}.rst": text for name, text in texts.items()})


def _not_public(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Element) -> nodes.Element | None:
    """What exists, say as a type in a signature, and is not public, is named without a link."""
    module, _, name = str(node["reftarget"]).rpartition(".")
    known = node.get("refdomain") == "py" and module.startswith("mtl_lightning") and _is_there(module, name)
    return text if known else None


def _is_there(module: str, name: str) -> bool:
    try:
        return hasattr(import_module(module), name)
    except ImportError:
        return False


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    app.add_config_value("reference_modules", [], "env", list)
    app.connect("builder-inited", _write)
    app.connect("missing-reference", _not_public)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
