"""Compiling what is gone through more than once a step."""

from mtl_lightning.backward import keep_buffers
from mtl_lightning.encoders import StagedEncoder
from mtl_lightning.sharing import Sharing


def compile_encoder(sharing: Sharing) -> None:
    """Compiles what a sharing runs of the encoder; its graph is gone through once for each task, so that no buffer may
    be donated.
    """
    keep_buffers()
    if isinstance(sharing.encoder, StagedEncoder):
        _ = sharing.encoder.stages  # made before a graph is traced, since a traced module cannot make modules
    for part in sharing.compiled_parts():
        part.compile(dynamic=True)
