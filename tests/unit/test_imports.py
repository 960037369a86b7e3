"""Which part of the package may import what: the direction of its dependencies, and a light front."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rooms import GRAPH, circles, imports, room

import mtl_lightning

PACKAGE = Path(mtl_lightning.__file__).parent
NAME = "mtl_lightning"
HEAVY = {
    "torch",
    "lightning",
    "pytorch_lightning",
    "transformers",
    "torchmetrics",
    "datasets",
    "wandb",
    "sklearn",
    "scipy",
}

OF_ITSELF = {
    part: {part, "errors", "version"}
    for part in (
        "weighting",
        "sharing",
        "inner_loops",
        "encoders",
        "tasks",
        "decoding",
        "chains",
        "data",
        "inputs",
        "rows",
    )
}
"""What each part may import of this package."""
for part in ("encoders", "data"):
    OF_ITSELF[part] |= {"inputs", "padding", "writing"}
for part in ("tasks", "data", "encoders", "chains", "inputs"):
    OF_ITSELF[part] |= {"raw_labels", "array_files", "named_files", "decoded_limits"}
OF_ITSELF["chains"].add("tasks")
OF_ITSELF["tasks"] |= {"decoding", "inputs", "png"}
OF_ITSELF["serve"] = {"serve", "errors", "exported", "manifest", "paths", "rows", "stopping", "strict_json", "terminal"}
OF_ITSELF["serve"] |= {
    "named_files",
    "decoded_limits",
    "checkpoints",
    "cli.quiet",
    "training",
}  # for a checkpoint alone, in the process that computes
OF_ITSELF["data"] |= {"rows", "names", "paths", "small_files", "stopping", "terminal", "yaml_limits"}

OF_OTHERS = {
    "inputs": {"numpy", "PIL", "soundfile", "soxr", "tokenizers"},
    "rows": set(),
    "weighting": {"torch", "numpy", "scipy", "torchjd"},
    "sharing": {"torch"},
    "inner_loops": {"torch"},
    "decoding": {"numpy"},
}
"""What some parts may import besides the standard library; other parts are held by NOT_OF_OTHERS."""

NOT_OF_OTHERS = {part: {"lightning", "pytorch_lightning", "wandb"} for part in ("encoders", "tasks", "chains")}
NOT_OF_OTHERS["cluster"] = NOT_OF_OTHERS["communication"] = NOT_OF_OTHERS["exported"] = HEAVY


def files(part: str) -> list[Path]:
    found = sorted((PACKAGE / part).rglob("*.py"))
    assert found, f"{part} has no files"
    return found


def imported(path: Path) -> set[str]:
    """Full names of all that a file imports, also inside functions and under TYPE_CHECKING."""
    package = [NAME, *path.relative_to(PACKAGE).parent.parts]
    return set(imported_names(ast.parse(path.read_text("utf-8")), package))


def imported_names(tree: ast.AST, package: list[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def attributes(path: Path) -> set[str]:
    """Dotted names that a file reads, and attributes that it assigns to (as `= .name`)."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute):
            names.add(ast.unparse(node) if isinstance(node.ctx, ast.Load) else f"= .{node.attr}")
    return names


def is_under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def relative(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(PACKAGE)) for path in paths]


@pytest.mark.parametrize(
    "statement",
    [
        "import mtl_lightning",
        "import mtl_lightning.__main__",
        "from mtl_lightning.__main__ import main; main(['--help'])",
        "from mtl_lightning.__main__ import main; main(['fit', '--help'])",
        "from mtl_lightning.__main__ import main; main(['--version'])",
        "from mtl_lightning.__main__ import main; main(['fti'])",
    ],
    ids=["package", "main", "help", "fit-help", "version", "unknown-command"],
)
def test_the_front_is_light(statement: str) -> None:
    program = f"import sys; {statement}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = done.stdout.split("\n")
    assert NAME in modules
    assert not HEAVY & set(modules)


@pytest.mark.parametrize("part", OF_ITSELF)
def test_parts_of_the_package_know_only_themselves(part: str) -> None:
    allowed = [f"{NAME}.{other}" for other in OF_ITSELF[part]]
    for path in files(part):
        own = {name for name in imported(path) if is_under(name, NAME)}
        assert not {name for name in own if not any(is_under(name, prefix) for prefix in allowed)}, path


@pytest.mark.parametrize("part", OF_OTHERS)
def test_what_some_parts_need_of_others(part: str) -> None:
    allowed = {*sys.stdlib_module_names, *OF_OTHERS[part], NAME}
    for path in files(part):
        assert {name.split(".")[0] for name in imported(path)} <= allowed, path


@pytest.mark.parametrize("part", NOT_OF_OTHERS)
def test_encoders_and_tasks_know_nothing_of_the_trainer(part: str) -> None:
    for path in files(part):
        assert not {name.split(".")[0] for name in imported(path)} & NOT_OF_OTHERS[part], path


def test_only_the_executor_calls_other_processes() -> None:
    calling = [
        path
        for path in files(".")
        if any(is_under(name, "torch.distributed") for name in imported(path) | attributes(path))
    ]
    assert relative(calling) == [
        "backward/messages.py",
        "backward/processes.py",
        "backward/shards.py",  # what sharded tensors are
        "checkpoints/joining_parts.py",
        "checkpoints/parts.py",  # each process writes what it holds
        "cli/meeting_store.py",  # before training: who is there
        "training/fsdp2.py",  # shards the encoder
    ]


def test_only_the_executor_writes_gradients() -> None:
    writing = [path for path in files(".") if "= .grad" in attributes(path)]
    assert relative(writing) == ["backward/gradients.py"]


def test_nothing_knows_of_compare_but_the_front() -> None:
    package = [path for path in files(".") if path.relative_to(PACKAGE).parts[0] != "compare"]
    knowing = [path for path in package if any(is_under(name, f"{NAME}.compare") for name in imported(path))]
    assert relative(knowing) == ["__main__.py"]


def test_no_rooms_and_no_files_import_each_other_in_a_circle() -> None:
    assert not circles((room(start), room(end)) for start, end in imports())
    assert not circles(imports())


LAYERS = {
    "package": (
        "__main__",
        "compare | export | serve | show_batch | submit | testing",
        "exported",
        "cli",
        "training",
        "callbacks | checkpoints | plugins",
        "chains",
        "backward | data | encoders | optim | tasks",
        "sharing | weighting | inner_loops",
        "padding",
        "inputs",
        "manifest | rows | demo | duration | raw_labels | stopping | version | cluster | communication | decoding"
        " | importing | intervals",
        "errors",
    ),
    "data": ("module", "sources", "streams", "readers"),
    "compare": ("command", "finish", "tracking", "report", "statistics", "evidence", "running", "planning"),
    "compare.running": ("conduct", "launchers", "run", "store"),
}
"""By folder, what stands above what; parts that share a line are independent of each other."""


@pytest.mark.parametrize("part", LAYERS)
def test_nothing_imports_what_stands_above_it(part: str) -> None:
    root = NAME if part == "package" else f"{NAME}.{part}"
    layers = [tuple(f"{root}.{name}" for name in line.split(" | ")) for line in LAYERS[part]]
    assert all(name in GRAPH.modules for line in layers for name in line)
    wrong = [
        (start, end)
        for start, end in imports()
        for position, line in enumerate(layers)
        for name in line
        if is_under(start, name) and any(is_under(end, above) for upper in layers[:position] for above in upper)
    ]
    assert not wrong


def test_a_circle_is_seen() -> None:
    assert circles([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]) == [{"a", "b", "c"}]
    assert not circles([("a", "b"), ("a", "c"), ("b", "c")])


@pytest.mark.parametrize("part", ["compare/statistics", "compare/report"])
def test_statistics_and_report_work_from_tables_alone(part: str) -> None:
    for path in files(part):
        assert not {name.split(".")[0] for name in imported(path)} & (HEAVY - {"scipy"}), path


def test_the_package_does_not_import_its_own_testing() -> None:
    package = [path for path in files(".") if "testing" not in path.relative_to(PACKAGE).parts]
    assert not [path for path in package if any(is_under(name, f"{NAME}.testing") for name in imported(path))]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import lightning.pytorch as pl", "lightning.pytorch"),
        ("from lightning import Trainer", "lightning.Trainer"),
        ("from mtl_lightning import data", "mtl_lightning.data"),
        ("from mtl_lightning.data import Batch", "mtl_lightning.data.Batch"),
        ("from . import base", "mtl_lightning.tasks.base"),
        ("from .base import Task", "mtl_lightning.tasks.base.Task"),
        ("from ..data import Batch", "mtl_lightning.data.Batch"),
        ("from .. import module", "mtl_lightning.module"),
        ("def f():\n    import wandb", "wandb"),
        ("if TYPE_CHECKING:\n    from mtl_lightning.training.module import X", "mtl_lightning.training.module.X"),
    ],
)
def test_every_form_of_import_is_seen(source: str, name: str) -> None:
    assert set(imported_names(ast.parse(source), [NAME, "tasks"])) == {name}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("torch.distributed.barrier()", "torch.distributed"),
        ("x = torch.distributed.get_rank() + 1", "torch.distributed.get_rank"),
        ("p.grad = g", "= .grad"),
        ("p.grad += g", "= .grad"),
        ("a, model.weight.grad = None, g", "= .grad"),
    ],
)
def test_calls_and_assignments_are_seen(source: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text(source)
    assert name in attributes(file)
