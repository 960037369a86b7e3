"""One step on what is to be written, however it is cut: ``python tokens.py FOLDER``, on each process.

Each way reads all examples in one step of the optimizer. Results are pickled by process: the parameters after it.
"""

import pickle
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from lightning.pytorch import Trainer
from quiet import begin

from mtl_lightning.data import MultiTaskDataModule
from mtl_lightning.data.sources.base import DataSource
from mtl_lightning.encoders import TransformerEncoder
from mtl_lightning.tasks import CausalLM, SequenceClassification
from mtl_lightning.training.module import MultiTaskModule
from mtl_lightning.weighting import EqualWeighting, UncertaintyWeighting, UPGrad

LLAMA = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 40,
}
LENGTHS = [1, 14, 3, 2, 9, 1, 20, 5, 2, 7, 1, 4]
"""Of the completions: a mean of means is no mean of these."""
WEIGHTINGS = {each.__name__: each for each in (EqualWeighting, UPGrad, UncertaintyWeighting)}
WAYS: dict[str, tuple[int, bool]] = {"whole": (1, False), "accumulated": (2, False), "packed": (1, True)}
"""How many batches make a step of the optimizer, and whether they are packed."""
ADAPTED = "UPGrad, LoRA"


class Written(DataSource):
    """Prompts, what follows them, and whether that is long.

    Args:
        name: Of the tasks that write and classify.
        seed: Of what is written.
    """

    def __init__(self, name: str, seed: int) -> None:
        super().__init__({"prompt": "p", "completion": "c"}, {f"{name}_text": "c", f"{name}_kind": "k"})
        self.seed = seed

    def load(self) -> dict[str, Dataset]:
        letters = "abcdefgh"
        texts = ["".join(letters[(i * self.seed + j) % 8] for j in range(n)) for i, n in enumerate(LENGTHS)]
        kinds = [None if i % 3 == 0 else "ab"[n > 4] for i, n in enumerate(LENGTHS)]
        return {"train": Dataset.from_dict({"p": [text[:2] + "=" for text in texts], "c": texts, "k": kinds})}


def train(weighting: Any, world: int, accumulated: int, packing: bool, lora: bool = False) -> dict[str, Any]:
    """The parameters after a step."""
    torch.manual_seed(3)
    adapter = {"r": 2, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False} if lora else None
    encoder = TransformerEncoder(
        config=LLAMA, tokenizer="characters:ascii", max_length=32, packing=packing, lora=adapter, pooling="last"
    )
    tasks = {"a_text": CausalLM(), "b_text": CausalLM()}
    tasks |= {name: SequenceClassification(labels=["a", "b"], dropout=0.0) for name in ("a_kind", "b_kind")}
    module = MultiTaskModule(encoder, tasks, weighting=weighting, optimizer=lambda p: torch.optim.SGD(p, lr=0.5))
    size = len(LENGTHS) // world // accumulated
    data = MultiTaskDataModule({"a": Written("a", 3), "b": Written("b", 5)}, batch_size=size, num_workers=0)
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        precision="64-true",
        max_steps=1,
        accumulate_grad_batches=accumulated,
        limit_val_batches=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, datamodule=data)
    return {name: parameter.detach() for name, parameter in module.named_parameters() if parameter.requires_grad}


def main(folder: Path) -> None:
    """Trains in all ways."""
    world, rank = begin()
    torch.set_num_threads(1)
    disable_progress_bars()
    found = {
        name: {way: train(weighting, world, *options) for way, options in WAYS.items()}
        for name, weighting in WEIGHTINGS.items()
    }
    found[ADAPTED] = {way: train(UPGrad, world, *WAYS[way], lora=True) for way in ("whole", "accumulated")}
    (folder / str(world) / f"{rank}.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
