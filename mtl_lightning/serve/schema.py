"""What a request may hold."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from mtl_lightning.errors import did_you_mean, shown
from mtl_lightning.serve.catalogue import Catalogue
from mtl_lightning.serve.refusals import Refusal
from mtl_lightning.serve.sizes import characters, depth

TEXT, INPUTS, TASKS = "text", "inputs", "tasks"
_EXAMPLE = '{"text": "some jazz, please"}'
_DEEPEST = 32
"""Lists and objects within one another: more than any input has, and far fewer than pickle and ``repr`` stand."""


class Kind(NamedTuple):
    """What requests have in common that are computed together.

    Attributes:
        inputs: Names of those that are given, sorted.
        tasks: Names of those that are asked for, in the model's order; null: all.
    """

    inputs: tuple[str, ...]
    tasks: tuple[str, ...] | None


class Asked(NamedTuple):
    """A request.

    Attributes:
        kind: What is given, and asked for.
        examples: Values by input, of each example.
        place: The field that they are in.
        is_list: Whether the answer is a list, too.
    """

    kind: Kind
    examples: Sequence[Mapping[str, Any]]
    place: str
    is_list: bool

    def field(self, number: int) -> str:
        """Where an example stands in the request."""
        return f"{self.place}[{number}]" if self.is_list else self.place


class Schema:
    """Reads requests.

    Args:
        catalogue: What can be asked.
        max_text: Characters of an example, at most.
        max_inputs: Examples of a request, at most.
    """

    def __init__(self, catalogue: Catalogue, max_text: int, max_inputs: int) -> None:
        self.catalogue, self.max_text, self.max_inputs = catalogue, max_text, max_inputs
        self._ways = " or ".join(_names(inputs) for inputs, _ in catalogue.ways)

    def read(self, body: bytes) -> Asked:
        """The request in a body.

        Raises:
            Refusal: 400 where it is no JSON, 422 where a field is not as it must be.
        """
        given = _json_object(body)
        for key in given:
            if key not in (TEXT, INPUTS, TASKS):
                _refuse(f"unknown key {shown(key)}; {did_you_mean(key, (TEXT, INPUTS, TASKS))}", key)
        if (TEXT in given) == (INPUTS in given):
            found = "both" if TEXT in given else "neither"
            _refuse(f"give one of `{TEXT}` and `{INPUTS}`, found {found}; such as {_EXAMPLE}", TEXT)
        place = TEXT if TEXT in given else INPUTS
        tasks = self._tasks(given.get(TASKS))
        found = given[place]
        is_list = isinstance(found, list)
        values = found if is_list else [found]
        if not values:
            _refuse(f"`{place}` is an empty list; give at least one example", place)
        if len(values) > self.max_inputs:
            _refuse(
                f"`{place}` is a list of {len(values):,}, at most {self.max_inputs:,} may be asked for at once "
                "(--batch_size); send several requests",
                place,
            )
        of = self._text if place == TEXT else self._inputs
        examples = [of(value, f"{place}[{number}]" if is_list else place) for number, value in enumerate(values)]
        for number, example in enumerate(examples):
            if example.keys() != examples[0].keys():
                _refuse(f"gives {_names(example)}, but the first one {_names(examples[0])}", f"{place}[{number}]")
        return Asked(Kind(tuple(sorted(examples[0])), tasks), examples, place, is_list)

    def _tasks(self, names: Any) -> tuple[str, ...] | None:
        if names is None:
            return None
        known = list(self.catalogue.tasks)
        if not isinstance(names, list):
            _refuse(f"`{TASKS}` must be a list of names, found {shown(names)}; such as {json.dumps(known[:1])}", TASKS)
        if not names:
            _refuse(f"`{TASKS}` is empty; {did_you_mean('', known)}, or leave it out for all", TASKS)
        for number, name in enumerate(names):
            field = f"{TASKS}[{number}]"
            if not isinstance(name, str):
                _refuse(f"a task's name must be a text, found {shown(name)}", field)
            if name not in self.catalogue.tasks:
                _refuse(f"unknown task {shown(name)}; {did_you_mean(name, known)}", field)
        return tuple(name for name in known if name in names)

    def _text(self, value: Any, field: str) -> dict[str, Any]:
        name = self.catalogue.text
        if name is None:
            _refuse(f"this model does not read a text; give `{INPUTS}` with {self._ways}", field)
        if not isinstance(value, str):
            _refuse(f"must be a text, found {shown(value)}", field)
        self._check_size(value, field)
        return {name: value}

    def _inputs(self, value: Any, field: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            _refuse(f"must be an object of values by name ({self._ways}), found {shown(value)}", field)
        known = {name for inputs, _ in self.catalogue.ways for name in inputs}
        for name, each in value.items():
            if name not in known:
                _refuse(f"unknown input {shown(name)}; {did_you_mean(name, known)}", f"{field}.{name}")
            if each is None and (name not in self.catalogue.may_lack or len(value) == 1):
                _refuse("is null; give it a value, or leave it out", f"{field}.{name}")
            if name not in self.catalogue.files:  # whose size is that of the request
                self._check_size(each, f"{field}.{name}")
        if not self.catalogue.reads(value):
            hint = "; what an example lacks is null" if self.catalogue.may_lack else ""
            _refuse(f"the model reads {self._ways}, found {_names(value)}{hint}", field)
        return value

    def _check_size(self, value: Any, field: str) -> None:
        if (size := characters(value)) > self.max_text:
            _refuse(f"has {size:,} characters, at most {self.max_text:,} are read (--max_text); shorten it", field)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_no_number)
        if depth(found) > _DEEPEST:
            raise RecursionError
    except (ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise Refusal(400, f"the body is no JSON in UTF-8: {said}; send such as {_EXAMPLE}") from None
    if not isinstance(found, dict):
        raise Refusal(422, f"the body must be an object, found {shown(found)}; send such as {_EXAMPLE}")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _names(inputs: Any) -> str:
    return ", ".join(sorted(map(repr, inputs))) or "nothing"


def _refuse(message: str, field: str) -> NoReturn:
    raise Refusal(422, message, field)
