"""A downloader for pooch that resumes a file which is there in part."""

from pathlib import Path
from typing import Any

import pooch
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from experiments.data.bar import Bar
from mtl_lightning.errors import UserError, led_to
from mtl_lightning.writing import writing

_CONNECT, _READ = 20.0, 60.0
"""Seconds to wait for a connection, and for the next bytes."""
_RETRIES, _BACKOFF = 4, 1.0
"""How often to ask a busy server again, and after how many seconds; twice as many each time."""
_BUSY = (429, 502, 503, 504)
_CHUNK = 1 << 14
_RANGE_NOT_SATISFIABLE = 416


def patient_session() -> requests.Session:
    """A connection that asks again, ever later, where a server says that it is busy."""
    session = requests.Session()
    retry = Retry(
        total=_RETRIES,
        connect=0,
        read=0,
        status_forcelist=_BUSY,
        backoff_factor=_BACKOFF,
        respect_retry_after_header=False,  # it may be hours: whoever waits is to know
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


class Resuming:
    """Downloads into a file of its own, which stays where that ends early, and is the start of the next try.

    Args:
        partial: The file.
        shown: Where to show how far it is.
        obtain: Command that gets the same otherwise, for messages.
        session: Whose connections are used again.

    Attributes:
        resumed: Whether the file was there.
        found: SHA-256 of what was downloaded.
    """

    def __init__(self, partial: Path, shown: Bar, obtain: str, session: requests.Session) -> None:
        self.partial = partial
        self.shown = shown
        self.obtain = obtain
        self.session = session
        self.resumed = False
        self.found = ""

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        """Downloads one file, as pooch asks for it.

        Raises:
            UserError: If it cannot be had.
            CannotWriteError: If there is no room for it.
        """
        try:
            self._download(url)
        except requests.RequestException as error:
            raise UserError(
                f"cannot download {url}: {_reason(error)}; what was downloaded is kept: run the same command again to "
                f"resume, or name a checkout with --from: `{self.obtain}`"
            ) from error
        self.found = pooch.file_hash(str(self.partial), alg="sha256")
        self.partial.replace(output_file)

    def _download(self, url: str) -> None:
        start = self.partial.stat().st_size if self.partial.exists() else 0
        self.resumed = start > 0
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        with self.session.get(url, headers=headers, stream=True, timeout=(_CONNECT, _READ)) as response:
            if response.status_code == _RANGE_NOT_SATISFIABLE:
                return  # it is there whole, or is another: its checksum tells
            response.raise_for_status()
            start = start if response.status_code == requests.codes.partial_content else 0
            size = start + int(response.headers.get("Content-Length", 0))
            with writing(self.partial), self.partial.open("ab" if start else "wb") as file:
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
                    self.shown.within(file.tell() / size if size else 0.0, len(chunk))


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError):
        return f"the server answers {error.response.status_code} {error.response.reason}"
    *_, cause = led_to(error)
    detail = (cause.strerror if isinstance(cause, OSError) else "") or str(cause)
    if isinstance(error, requests.ConnectTimeout | requests.ConnectionError):
        return f"no connection to the server ({detail})"
    return f"the download broke off ({detail})"
