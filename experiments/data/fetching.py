"""Downloads the files of a source, each once: what is there whole stays, what is there in part is resumed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.data.bar import Bar, bar
from experiments.data.checkouts import unpack
from experiments.data.sources import Source
from mtl_lightning.errors import UserError
from mtl_lightning.writing import writing

if TYPE_CHECKING:
    from requests import Session


def fetch(source: Source, folder: Path) -> Path:
    """Downloads a source's files.

    Args:
        source: What to download.
        folder: Of downloads.

    Returns:
        The folder that the source's paths start from.

    Raises:
        UserError: If a file cannot be had, is not what it must be, or cannot be written.
    """
    _pooch()
    from experiments.data.resuming import patient_session

    root = folder / source.name
    with bar(source.title, len(source.downloads)) as shown, patient_session() as session:
        for path, expected in source.downloads.items():
            _download(source, path, expected, folder if source.archive else root, shown, session)
    if source.archive:
        unpack(source, folder / source.archive[0], root)
    return root


def _download(source: Source, path: str, expected: str, folder: Path, shown: Bar, session: "Session") -> None:
    from experiments.data.resuming import Resuming

    target = folder / path
    downloader = Resuming(target.with_name(f"{target.name}.partial"), shown, source.obtain, session)
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _pooch().retrieve(
                source.base + path,
                known_hash=f"sha256:{expected}",
                fname=target.name,
                path=target.parent,
                downloader=downloader,
            )
    except UserError:
        raise
    except ValueError as error:  # the checksum differs; pooch has removed the file
        if downloader.resumed:
            return _download(source, path, expected, folder, shown, session)
        raise UserError(
            f"{source.base + path} has SHA-256 {downloader.found[:12]}…, not {expected[:12]}…: it is not the file of "
            f"revision {source.revision}, and was not kept; run the same command again, or name a checkout with "
            f"--from: `{source.obtain}`"
        ) from error
    shown.next()


def _pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise UserError(
            "downloading needs pooch; `pip install pooch` (the extra `data` has it), or name a checkout with --from"
        ) from error
    pooch.get_logger().setLevel("ERROR")
    return pooch
