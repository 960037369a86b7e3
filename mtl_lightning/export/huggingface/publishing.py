"""Puts a folder on the Hugging Face hub."""

from pathlib import Path

import httpx
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from mtl_lightning.errors import UserError
from mtl_lightning.terminal import quoted_path
from mtl_lightning.version import __version__


def check_name(name: str) -> None:
    """Raises :class:`UserError` if a repository on the hub cannot be called so."""
    try:
        validate_repo_id(name)
    except ValueError as error:
        raise UserError(f"--push_to_hub: {' '.join(str(error).split())[:300]}") from error


def publish(folder: Path, name: str, private: bool) -> str:
    """Puts the files of a folder into a repository, which is made if there is none.

    Args:
        folder: Of the export.
        name: ``user/model``, or ``model`` in the name of who is logged in.
        private: Whether a new repository is private.

    Returns:
        Its address.

    Raises:
        UserError: If nobody is logged in, may not write there, or there is no network; the folder stays.
    """
    api = HfApi(library_name="mtl_lightning", library_version=__version__)
    try:
        repository = api.create_repo(name, private=private or None, exist_ok=True)
        api.upload_folder(repo_id=repository.repo_id, folder_path=folder, commit_message="Export of mtl_lightning")
    except (OSError, ValueError, HfHubHTTPError, httpx.HTTPError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise UserError(
            f"--push_to_hub: cannot publish as '{name}': {reason}; {folder} stays; with network and after "
            f"`hf auth login`, publish it by `hf upload {name} {quoted_path(folder)}`"
        ) from error
    return str(repository)
