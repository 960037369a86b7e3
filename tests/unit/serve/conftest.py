"""What tests of the server share."""

from pathlib import Path

import pytest
import tiny_onnx


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small exported model."""
    return tiny_onnx.write(tmp_path_factory.mktemp("served") / "tiny")
