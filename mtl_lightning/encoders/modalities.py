"""One encoder for inputs of several kinds: a stem for each, and a trunk that they share."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise, tee, zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.encoders.base import Assets, Contexts, Encoder, Representation, State
from mtl_lightning.encoders.modality_processor import ModalityProcessor
from mtl_lightning.encoders.staged import Stage, StagedEncoder
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.column_statistics import CountedRows


class ModalityEncoder(StagedEncoder):
    r"""Stems for inputs of different kinds, such as sounds and images, into layers that they share.

    Each stem is an encoder of its own. What it makes of an example is normalised and brought to ``width``; where a data
    set has inputs of several stems, the mean of these is taken, :math:`\frac{1}{n} \sum_m W_m \mathrm{LN}(h_m) + b_m`,
    so that one more or one less changes no scale; of an example that lacks some of them, the mean of the others. The
    trunk is linear layers with ReLU, the stages that a sharing may cut. Stems whose inputs a batch has not are not
    computed.

    The representation is pooled [B, D]. If the first stem that reads words is among the stems, it has ``tokens``
    [B, L, D] as well: what the other stems made is added to each.

    The inputs are those of the stems, see :class:`.ModalityNames`; feature maps and generation are not passed on.

    Args:
        stems: Encoders, by name, say ``{speech: …, image: …}``.
        width: What the output of each stem is brought to.
        hidden: Widths of the layers of the trunk; D is the last one.
        dropout: Probability of zeroing an activation, after each layer of the trunk.

    Raises:
        UserError: If there is no stem, or no layer, or the name of a stem has a dot.
    """

    processor: ModalityProcessor
    pretrained = False

    def __init__(
        self, stems: dict[str, Encoder], width: int = 128, hidden: Sequence[int] = (128,), dropout: float = 0.0
    ) -> None:
        super().__init__()
        if not stems or not hidden:
            raise UserError("model.encoder: `stems` must name at least one encoder, and `hidden` a layer width")
        if odd := [stem for stem in stems if not stem.isidentifier()]:
            raise UserError(f"model.encoder.stems: a name is made of letters, digits and underscores; found '{odd[0]}'")
        self.stems = nn.ModuleDict(stems)
        self.features = hidden[-1]
        self.processor = ModalityProcessor({stem: encoder.processor for stem, encoder in stems.items()})
        self.entries = nn.ModuleDict(
            {
                stem: nn.Sequential(nn.LayerNorm(encoder.features), nn.Linear(encoder.features, width))
                for stem, encoder in stems.items()
            }
        )
        self.layers = nn.ModuleList(nn.Linear(*widths) for widths in pairwise([width, *hidden]))
        self.dropout = nn.Dropout(dropout)

    def begin(self, inputs: dict[str, Tensor]) -> State:
        """What the stems made, [B, 1 + L, width]: of each example first, then of its label positions."""
        names, made, mask = self.processor.names, list[Tensor](), None
        parted = names.parted(inputs)
        lacks = [names.absent(stem, inputs) for stem in parted]
        for (stem, of), lack in zip(parted.items(), lacks, strict=True):
            found: Representation = self.stems[stem](of)
            if found.tokens is not None and stem == names.words:
                mask = found.mask if found.mask is None or lack is None else found.mask & ~lack[:, None]
                made.append(self.entries[stem](torch.cat([_pooled(found)[:, None], found.tokens], dim=1)))
            else:
                made.append(self.entries[stem](_pooled(found)[:, None]))
        return State(_mean(made, lacks), mask)

    @cached_property
    def stages(self) -> list[nn.Module]:
        """One a layer of the trunk."""
        return [Stage(layer, nn.ReLU(), self.dropout) for layer in self.layers]

    @property
    def widths(self) -> list[int]:
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        return [linear[0].in_features, *(layer.out_features for layer in linear)]

    def pool(self, state: State) -> Tensor:
        """What was made of the examples as a whole [B, C]."""
        return state.hidden[:, 0]

    def end(self, state: State) -> Representation:
        if state.context is None:
            return Representation(pooled=state.hidden[:, 0])
        return Representation(pooled=state.hidden[:, 0], tokens=state.hidden[:, 1:], mask=state.context)

    def recompute_in(self, contexts: Contexts | None) -> None:
        for encoder in self._encoders.values():
            encoder.recompute_in(contexts)

    def layers_by_depth(self) -> Sequence[Sequence[nn.Parameter]]:
        """The last layers of all stems stand at one depth, and so on down; then their entries, then the trunk."""
        depths = zip_longest(*(reversed(each.layers_by_depth()) for each in self._encoders.values()), fillvalue=())
        stems = [[parameter for layer in depth for parameter in layer] for depth in depths]
        return [*reversed(stems), list(self.entries.parameters()), *super().layers_by_depth()]

    # -- what stems learn of the training data, and files of their own -------------------------------------------------
    @property
    def is_complete(self) -> bool:
        return all(encoder.is_complete for encoder in self._encoders.values())

    def learn(self, rows: Iterable[CountedRows]) -> None:
        stems = {stem: encoder for stem, encoder in self._encoders.items() if not encoder.is_complete}
        for (stem, encoder), some in zip(stems.items(), tee(rows, len(stems)), strict=True):
            parted = (self.processor.names.of_parts(each).get(stem) for each in some)
            encoder.learn(each for each in parted if each)

    def take_learnt(self, files: Mapping[str, str]) -> bool:
        stems = [stem for stem, encoder in self._encoders.items() if not encoder.is_complete]
        return all(self._encoders[stem].take_learnt(_of(stem, files)) for stem in stems)

    def complete(self) -> None:
        for encoder in self._encoders.values():
            if not encoder.is_complete:
                encoder.complete()

    def assets(self) -> Assets:
        found = {stem: encoder.assets() for stem, encoder in self._encoders.items()}
        files = {f"{stem}/{name}": text for stem, assets in found.items() for name, text in assets.files.items()}
        init_args = {stem: {"init_args": _inside(stem, a.init_args)} for stem, a in found.items() if a.init_args}
        return Assets(files, {"stems": init_args} if init_args else {})

    def reads_differently(self, files: Mapping[str, str]) -> str | None:
        found = {stem: encoder.reads_differently(_of(stem, files)) for stem, encoder in self._encoders.items()}
        return next((f"of its stem '{stem}', {how}" for stem, how in found.items() if how is not None), None)

    def renamed(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        found: dict[str, Any] = {name: value for name, value in state.items() if not name.startswith("stems.")}
        for stem, encoder in self._encoders.items():
            prefix = f"stems.{stem}."
            own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            found |= {f"{prefix}{name}": value for name, value in encoder.renamed(own).items()}
        return found

    @property
    def _encoders(self) -> dict[str, Encoder]:
        return dict(self.stems.items())  # type: ignore[arg-type]


def _mean(made: Sequence[Tensor], lacks: Sequence[Tensor | None]) -> Tensor:
    """The mean [B, 1 + L, width] of what stems made of each example, without those whose inputs it lacks [B]."""
    shares = [
        1 if lack is None else 1 - lack.to(each.dtype)[:, None, None] for each, lack in zip(made, lacks, strict=True)
    ]
    parts = [each * share for each, share in zip(made, shares, strict=True)]
    mean: Tensor = sum(parts[1:], parts[0]) / sum(shares)
    return mean


def _pooled(found: Representation) -> Tensor:
    """One vector an example [B, D]: the mean of its label positions, where a stem makes these alone."""
    if found.pooled is not None:
        return found.pooled
    assert found.tokens is not None and found.mask is not None, "a stem makes one or the other"
    weights = found.mask.unsqueeze(-1).to(found.tokens.dtype)
    return (found.tokens * weights).sum(1) / weights.sum(1).clamp(min=1)


def _of(stem: str, files: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(f"{stem}/"): text for name, text in files.items() if name.startswith(f"{stem}/")}


def _inside(stem: str, init_args: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments in which ``{folder}`` stands for a stem's own one."""
    return {
        name: value.replace("{folder}", f"{{folder}}/{stem}") if isinstance(value, str) else value
        for name, value in init_args.items()
    }
