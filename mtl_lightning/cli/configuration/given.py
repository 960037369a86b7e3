"""What a command was given: files, environment variables and flags, taken apart but not yet understood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from mtl_lightning.cli.configuration.plain_yaml import Config, parse_value
from mtl_lightning.cli.configuration.variables import Variable, files_of_environment, variables
from mtl_lightning.errors import UserError
from mtl_lightning.paths import expanded
from mtl_lightning.trust.imports import Imports, classes_in

SECTIONS = ("model", "data", "trainer", "checkpoint")
"""Of a config: keys that hold keys, and classes."""

WORDS = ("name", "project", "filename")
"""Options, by the last part of their key, that are words even if they look like something else: ``{epoch:02d}``."""


class Base(NamedTuple):
    """What a command starts from where no file is named.

    Attributes:
        name: What messages call it.
        config: All of it.
        imports: What it may import.
    """

    name: str
    config: Config
    imports: Imports


@dataclass(frozen=True)
class Given:
    """What a command was given.

    Attributes:
        command: Its name.
        files: Of ``--config``, in order.
        variables: Environment variables, and what they set.
        flags: Key and text of each flag, in an order in which a class comes before arguments that it is given.
        questions: Flags that ask something, such as ``--print_config`` and ``--print_model``, as they are.
        trusted: Classes, functions and modules that a configuration inside a checkpoint may import.
        base: What it starts from where no file is named.
    """

    command: str
    files: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()
    flags: tuple[tuple[str, str], ...] = ()
    questions: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    base: Base | None = field(default=None, repr=False)

    def get(self, key: str) -> str | None:
        """What a flag, or else a variable, sets a key to; null: nothing does."""
        found = [variable.text for variable in self.variables if variable.key == key]
        found += [text for name, text in self.flags if name == key]
        return found[-1] if found else None

    def starting_from(self, checkpoint: str, config: Config, places: Mapping[str, str] | None) -> "Given":
        """The same, with something to start from.

        Args:
            checkpoint: The file that it is in.
            config: All of it.
            places: Where the packages are that it names, if the user's own run wrote it; see :func:`.own_places`.
        """
        texts = (*self.flags, *((variable.key, variable.text) for variable in self.variables))
        named = [as_text(key, text) for key, text in texts if key.partition(".")[0] in SECTIONS]
        imports = Imports(checkpoint, places, {*self.trusted, *classes_in(named)})
        return replace(self, base=Base(f"the configuration in {checkpoint}", config, imports))

    @property
    def imports(self) -> Imports:
        """What the configuration may import: whatever the user names, less of what a checkpoint does."""
        return Imports() if self.base is None else self.base.imports


def refuse_questions(command: str, found: Given) -> None:
    """Refuses questions, which ``fit`` answers instead of training.

    Args:
        command: Whose options these are, beside its own.
        found: What it was given for ``fit``.

    Raises:
        UserError: If there is one.
    """
    if found.questions:
        raise UserError(f"{command} has no {found.questions[0].partition('=')[0]}; ask `fit`")


def given(command: str, options: Sequence[str], environment: Mapping[str, str]) -> Given:
    """Takes apart what a command was given.

    Args:
        command: Its name.
        options: What follows it on the command line.
        environment: Variables by name.

    Raises:
        UserError: If a flag has no value, a word is no flag, or tasks are named twice.
    """
    files, questions = files_of_environment(command, environment), []
    flags: list[tuple[str, str]] = []
    trusted = environment.get("MTL_TRUST_CLASSES", "").split(",")
    rest = list(options)
    while rest:
        flag = rest.pop(0)
        key, equals, text = ("--config" + flag[2:] if flag[:3] in ("-c", "-c=") else flag).partition("=")
        key = key.removeprefix("--") if key.startswith("--") else ""
        if not all(key.split(".")):
            if flag.endswith((".yaml", ".yml")):
                raise UserError(f"unexpected argument '{flag}'; did you mean `--config {flag}`?")
            raise UserError(f"unexpected argument '{flag}'; options start with '--'")
        if key in ("print_model", "plan_ranks") and command != "fit":
            raise UserError(f"{command} has no --{key}; ask `fit`")
        if key in ("print_config", "print_model", "help", "help_all") or key.endswith(".help"):
            questions += [flag] if equals or not key.endswith(".help") or not rest else [flag, rest.pop(0)]
            continue
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise UserError(f"flag {flag} has no value")
            text = rest.pop(0)
        if key == "plan_ranks":
            questions.append(f"--{key}={text}")
            continue
        if key == "config" and not text:
            raise UserError(f"flag {flag} has no value")
        if key == "config":
            files.append(expanded(text, f"--{key}"))
        elif key == "trust_classes":
            trusted += text.strip("[]").split(",")
        elif key == "tasks" and any(name == key for name, _ in flags):
            raise UserError("--tasks is given twice; name all tasks at once, separated by commas")
        else:
            flags.append((key, text))
    ordered = tuple(_classes_first(flags))
    return Given(command, tuple(files), variables(command, environment), ordered, tuple(questions), tuple(trusted))


def as_text(key: str, text: str) -> Any:
    """What a flag or variable says, for a parser that knows what each key takes: words stay as they are.

    ``None`` is ``null``: sweeps write it so.
    """
    if key.split(".")[-1] in WORDS:
        return text
    value = None if text == "None" else parse_value(text)
    return value if value is None or isinstance(value, dict | list) else text


def as_value(key: str, text: str) -> Any:
    """The same for those who know no types: what is surely a number is one."""
    value = as_text(key, text)
    return parse_value(text) if value is text and key.split(".")[-1] not in WORDS else value


def _classes_first(flags: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Lets the order not matter in which a class and its arguments are given: both are the command line's."""
    named = {key.removesuffix(".class_path"): position for position, (key, _) in enumerate(flags)}

    def place(position: int) -> tuple[int, bool, int]:
        parts = flags[position][0].removesuffix(".class_path").split(".")
        above = [named[key] for end in range(1, len(parts)) if (key := ".".join(parts[:end])) in named]
        last = max([position, *above])
        return last, last != position, position

    return [flags[position] for position in sorted(range(len(flags)), key=place)]
