"""Tokens a second of packed and of padded batches: ``python -m experiments.packing``, half a minute on one core.

A Llama of 5 million parameters learns to write completions of a skewed mix of lengths (log-normal, most of them below
20 tokens, the longest 500). Batches are of similar length, as training cuts them, or of any length, as those
of a stream are. Seconds are of the processor, so that what else runs on the machine counts little. Writes
``results.json``.
"""

import json
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl_lightning.data.passes import Passes
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.tasks import CausalLM

MODEL = {
    "model_type": "llama",
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 688,
    "max_position_embeddings": 512,
}
LONGEST, BATCH, EXAMPLES, BATCHES = 512, 32, 6400, 8
RESULTS = Path(__file__).with_name("results.json")


def lengths() -> np.ndarray:
    """Of the examples, in tokens, without the two special ones."""
    draw = random.Random(0)
    return np.array([min(max(int(8 * math.exp(1.2 * draw.gauss(0, 1))), 4), 500) for _ in range(EXAMPLES)])


def batches(sizes: np.ndarray, bucket: int) -> list[np.ndarray]:
    """Lengths of the examples of some batches, of which ``bucket`` at a time are sorted."""
    rows, starts = Passes(sizes, BATCH, 1, bucket, None).shuffled(np.random.default_rng(0))
    chosen = np.random.default_rng(1).permutation(len(starts) - 1)[:BATCHES]
    return [sizes[rows[starts[i] : starts[i + 1]]] for i in chosen]


def measure(parts: list[np.ndarray], packing: bool) -> dict[str, float]:
    """Tokens a second of forward and backward passes, and the part of the positions that is no padding."""
    torch.manual_seed(0)
    encoder = TransformerEncoder(
        config=MODEL, tokenizer="characters:ascii", max_length=LONGEST, packing=packing, dropout=0.0
    )
    task = CausalLM()
    task.meet(encoder)
    task.build(encoder.features)
    found = {"tokens": 0.0, "positions": 0.0, "seconds": 0.0, "loss": 0.0}
    for part in parts:
        encoded = encoder.processor.encode(
            {
                "prompt": ["a" * (n // 2) for n in part.tolist()],
                "completion": ["b" * (n - n // 2) for n in part.tolist()],
            }
        )
        rows = [dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)]
        batch = encoder.processor.collate(rows)
        start = time.process_time()
        loss = task.loss(task(encoder(batch)._replace(given=batch)), batch["answer"])
        loss.backward()  # type: ignore[no-untyped-call]
        found["seconds"] += time.process_time() - start
        found["tokens"] += int(batch["attention_mask"].sum())
        found["positions"] += batch["packed" if packing else "input_ids"].numel()
        found["loss"] += float(loss.detach()) / len(parts)
    speed = found["tokens"] / found["seconds"]
    return {
        "tokens_a_second": round(speed),
        "use": round(found["tokens"] / found["positions"], 4),
        "loss": found["loss"],
    }


def main() -> None:
    """Measures both kinds of batches both ways."""
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for kind, bucket in (("of any length", 1), ("of similar length", 100)):
        parts = batches(lengths(), bucket)
        padded, packed = (measure(parts, packing) for packing in (False, True))
        ratio = round(packed["tokens_a_second"] / padded["tokens_a_second"], 2)
        results[kind] = {"padded": padded, "packed": packed, "ratio": ratio}
        print(kind, results[kind])
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
