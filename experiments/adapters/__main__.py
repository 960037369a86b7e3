"""Steps with four data sets on LoRA's gradients, relative to equal weights: ``python -m experiments.adapters``.

A Llama with random weights, frozen but for an adapter of rank 8 on queries and values, classifies random texts of 64
tokens, four of each data set in a step. Seconds are of the processor, so that what else runs on the machine counts
little; the kinds of steps take turns. Writes ``results.json``.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from experiments.benchmark.loops import ExecutorLoop
from experiments.benchmark.rows import about
from experiments.benchmark.workloads import several_inputs
from mtl_lightning.data import Batch
from mtl_lightning.encoders import Encoder, TransformerEncoder
from mtl_lightning.weighting import FAMO, EqualWeighting, PCGrad, UPGrad, Weighting

RESULTS = Path(__file__).with_name("results.json")
WEIGHTINGS: dict[str, Callable[[Sequence[str]], Weighting]] = {
    each.__name__: each for each in (EqualWeighting, PCGrad, UPGrad, FAMO)
}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Adapted:
    """A decoder-only model with an adapter.

    Attributes:
        width: Of the model.
        layers: Their number.
        length: Tokens in an example, the two special ones included.
    """

    width: int = 384
    layers: int = 6
    length: int = 64

    def encoder(self, dropout: float) -> Encoder:
        """A fresh one."""
        sizes = {"hidden_size": self.width, "intermediate_size": 8 * self.width // 3, "num_attention_heads": 4}
        return TransformerEncoder(
            config={"model_type": "llama", "num_hidden_layers": self.layers, **sizes},
            tokenizer="characters:ascii",
            pooling="last",
            dropout=dropout,
            lora={"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]},
        )

    def inputs(self, encoder: Encoder, size: int, random: torch.Generator) -> dict[str, Tensor]:
        """Random letters."""
        letters = torch.randint(len(_LETTERS), (size, self.length - 2), generator=random).tolist()
        encoded = encoder.processor.encode({"text": ["".join(_LETTERS[i] for i in row) for row in letters]})
        return encoder.processor.collate([{name: values[i] for name, values in encoded.items()} for i in range(size)])


class AdaptedLoop(ExecutorLoop):
    """The package's step without Lightning, with the second forward pass where the weighting needs it."""

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.optimizer.zero_grad()
            batch = next(self.batches)
            self.differentiate(batch)
            self.optimizer.step()
            if self.executor.needs_losses_after:
                self.executor.finish_step(self._losses(batch))

    @torch.no_grad()
    def _losses(self, batch: dict[str, Batch]) -> dict[str, Tensor]:
        return {name: loss for part in batch.values() for name, loss in self.forward(part)[0].items()}


def measure(size: Adapted, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of a step by weighting, and relative to equal weights: medians over rounds in which they take turns."""
    workload = several_inputs("four data sets", 4, 4, size)
    batches = workload.batches(4)
    loops = {name: AdaptedLoop(workload, batches, weighting) for name, weighting in WEIGHTINGS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds + 1):
        for name, loop in loops.items():
            start = time.process_time()
            loop.train(1)
            if number:  # the first step is a warm-up
                seconds[name].append(time.process_time() - start)
    plain = seconds[EqualWeighting.__name__]
    return {
        name: {"seconds": median(found), "ratio": median(a / b for a, b in zip(found, plain, strict=True))}
        for name, found in seconds.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(prog="python -m experiments.adapters", description=__doc__)
    parser.add_argument("--width", type=int, default=Adapted.width, help="of the model")
    parser.add_argument("--layers", type=int, default=Adapted.layers, help="their number")
    parser.add_argument("--rounds", type=int, default=9, help="steps of each kind")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FILE", help="where the results are written")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    size = Adapted(options.width, options.layers)
    rows: dict[str, Any] = measure(size, options.rounds)
    for name, row in rows.items():
        print(f"{name:16} {1000 * row['seconds']:8.0f} ms {row['ratio']:6.2f}")
    document = {**about(threads=1), "width": size.width, "layers": size.layers, "rows": rows}
    options.output.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
