"""Every argument of every command, and of every class that may stand in one, refuses what would run code.

The arguments are enumerated, so that a new one is covered by itself. What a value comes to depends on the argument's
annotation alone: each annotation is tried once.
"""

import inspect
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from types import ModuleType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from jsonargparse import ArgumentParser, Namespace, _typehints
from lightning.pytorch.cli import LightningArgumentParser

from mtl_lightning.checkpoints import BestCheckpoint
from mtl_lightning.cli.command import COMMANDS
from mtl_lightning.cli.lightning_cli import CLI
from mtl_lightning.cli.trainer import Trainer
from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.plugins import PLUGINS
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.trust.imports import Imports
from mtl_lightning.trust.parsing import guarded

ROOTS = (
    CLI,
    MultiTaskModule,
    MultiTaskDataModule,
    Trainer,
    BestCheckpoint,
    *(getattr(Trainer, name) for name in COMMANDS),
)
PACKAGES = ("mtl_lightning.", "lightning.pytorch.", "lightning.fabric.", "torch.optim.")
"""Whose classes are tried; a module or a tensor of torch may be anything."""
MARKER = "marker"

a_lambda = lambda *args, **kwargs: unannotated()  # noqa: E731
a_partial = partial(os.system, f"touch {MARKER}")


def unannotated(*args, **kwargs):
    open(MARKER, "w").close()


class Unrelated:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        open(MARKER, "w").close()

    def __call__(self, *args):
        open(MARKER, "w").close()


DATA = {str, int, float, bool, type(None)}
CONTAINERS = {Union, UnionType, list, tuple, set, dict, Mapping, Sequence, Iterable}
TOUCH = f"touch {MARKER}"
OPENS = f"open('{MARKER}', 'w')"
ATTACKS: dict[str, dict[str, Any]] = {
    "os.system": {"command": TOUCH},
    "posix.system": {"command": TOUCH},
    "os.popen": {"cmd": TOUCH},
    "torch.os.system": {"command": TOUCH},
    "subprocess.run": {"args": ["touch", MARKER]},
    "subprocess.Popen": {"args": ["touch", MARKER]},
    "subprocess.check_output": {"args": ["touch", MARKER]},
    "torch.utils.cpp_extension.subprocess.call": {"args": ["touch", MARKER]},
    "builtins.eval": {"source": OPENS},
    "builtins.exec": {"source": OPENS},
    "builtins.open": {"file": MARKER, "mode": "w"},
    "builtins.__import__": {"name": "antigravity"},
    "builtins.print": {"file": MARKER},
    "builtins.getattr": {"object": "os", "name": "system"},
    "importlib.import_module": {"name": "this"},
    "runpy.run_path": {"path_name": "x.py"},
    "functools.partial": {"func": "os.system", "command": TOUCH},
    "operator.methodcaller": {"name": "system"},
    "pickle.loads": {"data": "x"},
    "torch.load": {"f": MARKER},
    "torch.hub.load": {"repo_or_dir": ".", "model": "x", "source": "local"},
    "torch.utils.cpp_extension.load": {"name": "x", "sources": []},
    "ctypes.CDLL": {"name": "libc.so.6"},
    "multiprocessing.Process": {"target": "os.abort"},
    "torch.multiprocessing.spawn": {"fn": "os.abort"},
    f"{__name__}.a_lambda": {},
    f"{__name__}.a_partial": {},
    f"{__name__}.unannotated": {},
    f"{__name__}.Unrelated": {},
}


def arguments(made: Any) -> dict[str, Any]:
    """The arguments that a configuration can give a class or method, with annotations as jsonargparse has them."""
    parser = ArgumentParser(exit_on_error=False)
    try:
        if made is CLI:
            parser = LightningArgumentParser(exit_on_error=False)
            CLI.add_arguments_to_parser(None, parser)
        elif inspect.isclass(made):
            parser.add_class_arguments(made, "x", fail_untyped=False, sub_configs=True)
        else:
            parser.add_method_arguments(Trainer, made.__name__, "x", skip={"model", "datamodule"}, fail_untyped=False)
    except (ValueError, TypeError, AttributeError, ImportError):
        return {}  # what it cannot read, it cannot configure
    return {a.dest: a._typehint for a in parser._actions if isinstance(a, _typehints.ActionTypeHint)}


@cache
def annotations() -> dict[str, tuple[Any, list[str]]]:
    """Every annotation of an argument that a configuration can reach, with the names of such arguments."""
    assert PLUGINS
    found: dict[str, tuple[Any, list[str]]] = {}
    todo, seen = list(ROOTS), set()
    while todo:
        made = todo.pop()
        for name, hint in arguments(made).items():
            found.setdefault(str(hint), (hint, []))[1].append(f"{made.__name__}{name[1:]}")
            for kind in subclasses(classes(hint)):
                if kind not in seen and kind.__module__.startswith(PACKAGES):
                    seen.add(kind)
                    todo.append(kind)
    return found


def classes(hint: Any) -> list[type]:
    """The classes in an annotation."""
    if inspect.isclass(hint) and not get_args(hint):
        return [hint]
    parts = [part for argument in get_args(hint) for part in (argument if isinstance(argument, list) else [argument])]
    return [kind for part in parts for kind in classes(part)]


def is_data(hint: Any) -> bool:
    """Whether an annotation takes numbers and texts alone, and containers of them: one attack says it all."""
    if get_origin(hint) is Literal or hint in DATA:
        return True
    return get_origin(hint) in CONTAINERS and all(map(is_data, get_args(hint)))


def subclasses(bases: list[type]) -> Iterator[type]:
    """The classes that may stand where these are expected, as far as they are imported."""
    for base in bases:
        if base.__module__.startswith(PACKAGES):
            yield base
            yield from subclasses(type.__subclasses__(base))


def forms(path: str, given: dict[str, Any]) -> Iterator[Any]:
    """The ways in which a configuration can name something."""
    spec = {"class_path": path, "init_args": given}
    yield path
    yield spec
    yield {"class_path": path, "dict_kwargs": given}
    yield [spec]
    yield {"key": {"class_path": path}}
    yield str(spec)
    yield repr(str(spec))


def parser_of(hint: Any) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--x", type=hint)
    return parser


def comes_to(parser: ArgumentParser, value: Any, imports: Imports) -> Any:
    """What is made of a value at an argument; the exception where it is refused."""
    try:
        with guarded(imports):
            made: Any = parser.instantiate(parser.parse_object({"x": value})).x
        return made
    except (Exception, SystemExit) as error:
        return error


def plain(value: Any) -> bool:
    """Whether a value is mere data."""
    if isinstance(value, dict | Namespace):
        return all(map(plain, (vars(value) if isinstance(value, Namespace) else value).values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(plain, value))
    return value is None or isinstance(value, str | int | float | bool | os.PathLike)


def test_every_argument_of_every_command_is_looked_at():
    names = {name for _, (_, found) in annotations().items() for name in found}
    expected = {
        *("MultiTaskModule.weighting", "MultiTaskModule.optimizer", "MultiTaskModule.encoder", "MultiTaskModule.tasks"),
        *("MultiTaskDataModule.datasets", "FileSource.files", "Trainer.callbacks", "Trainer.plugins", "Trainer.logger"),
        *("LambdaCallback.on_fit_start", "LambdaLR.lr_lambda", "TensorBoardLogger.comment", "fit.init_from"),
    }
    assert expected <= names
    configurable = {
        f"{root.__name__}.{name}"
        for root in ROOTS[1:]
        for name in inspect.signature(root).parameters
        if name not in ("self", "model", "datamodule")
    }
    assert configurable <= names | {"BestCheckpoint.kwargs"}


@pytest.mark.filterwarnings("ignore::UserWarning")  # jsonargparse's own list of names, which it only warns of
def test_no_argument_runs_what_it_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    got_through = defaultdict(list)
    for hint, names in annotations().values():
        parser = parser_of(hint)
        for path, given in list(ATTACKS.items())[: 1 if is_data(hint) else None]:
            for form in forms(path, given):
                made = comes_to(parser, form, Imports())
                if not (isinstance(made, BaseException) or plain(made)):
                    got_through[path].append((names[0], hint, form, made))
        assert not os.listdir(tmp_path), f"{names[:3]} ran something"
    assert not got_through


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_argument_imports_what_a_checkpoint_of_somebody_else_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "beside.py").write_text(f"open({MARKER!r}, 'w')\nclass Own:\n    pass\n")
    for hint, names in [*annotations().values(), (ModuleType, ["a module"])]:
        parser = parser_of(hint)
        for form in ("beside", *forms("beside.Own", {})):
            comes_to(parser, form, Imports("foreign.ckpt"))
            assert "beside" not in sys.modules and not (tmp_path / MARKER).exists(), (names[:3], form)
