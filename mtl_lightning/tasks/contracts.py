"""What a task needs of an encoder and of its inputs, in words of torch alone."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn


class Features(Protocol):
    """What a head reads; :class:`mtl_lightning.encoders.Representation` is one."""

    @property
    def pooled(self) -> Tensor | None: ...

    @property
    def tokens(self) -> Tensor | None: ...

    @property
    def mask(self) -> Tensor | None: ...

    @property
    def given(self) -> Mapping[str, Tensor] | None: ...

    @property
    def states(self) -> Tensor | None: ...

    @property
    def kept(self) -> Any: ...

    @property
    def maps(self) -> Mapping[int, Tensor] | None: ...


class Writer(Protocol):
    """What writes behind prompts; see :class:`mtl_lightning.encoders.generation.Writer`."""

    @property
    def can_go_on(self) -> bool: ...

    def __call__(self, inputs: Mapping[str, Tensor], kept: Any = None) -> Tensor: ...


class LanguageModel(Protocol):
    """An encoder whose backbone is a language model; :class:`mtl_lightning.encoders.TransformerEncoder` may be one."""

    @property
    def processor(self) -> Any: ...

    def output_embedding(self) -> nn.Linear: ...

    def generator(self, output: nn.Linear) -> Any: ...

    def writer(self, options: Mapping[str, Any]) -> Writer: ...
