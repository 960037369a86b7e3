"""What is asked of a tokenizer: the part of transformers' fast ones that reads texts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol


class Tokens(Protocol):
    """Texts that have become tokens, as transformers' ``BatchEncoding``.

    Attributes:
        data: Values by name, each a list of one value a row.
        encodings: One a row, as the ``tokenizers`` library has them.
    """

    data: dict[str, Any]

    @property
    def encodings(self) -> Sequence[Any] | None: ...

    def __getitem__(self, name: str) -> Any: ...

    def pop(self, name: str) -> Any: ...

    def word_ids(self, row: int = 0) -> list[int | None]: ...

    def sequence_ids(self, row: int = 0) -> list[int | None]: ...


class FastTokenizer(Protocol):
    """A tokenizer that knows where in a text its tokens stand."""

    truncation_side: str
    pad_token_id: int | None

    @property
    def backend_tokenizer(self) -> Any: ...

    @property
    def model_input_names(self) -> Sequence[str]: ...

    def num_special_tokens_to_add(self, pair: bool = False) -> int: ...

    @property
    def __call__(self) -> Callable[..., Any]: ...


def described(tokenizer: FastTokenizer) -> Mapping[str, Any]:
    """What a tokenizer is beside its file, as JSON has it."""
    return {
        "model_input_names": list(tokenizer.model_input_names),
        "pad_token_id": tokenizer.pad_token_id,
        "truncation_side": tokenizer.truncation_side,
    }
