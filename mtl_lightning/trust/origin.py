"""Who wrote a checkpoint: what it is made of is signed with a secret that only this user has."""

import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mtl_lightning.trust.imports import places

SIGNED = ("config", "tasks", "assets")
"""What a model is made of again, of what a checkpoint holds."""

_KEY = "signature"
_BYTES = 32


def signed(contents: Mapping[str, Any], known: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a checkpoint holds, with a signature; without one where this user's secret can be neither read nor written.

    Args:
        contents: What there is to sign, see :data:`SIGNED`, and more.
        known: Where packages were when this user wrote the configuration, those that are not imported now among them.
    """
    secret = _secret()
    if secret is None or "config" not in contents:
        return dict(contents)
    found = {**(known or {}), **places(contents["config"])}
    return {**contents, _KEY: {"places": found, "code": _code(secret, contents, found)}}


def own_places(contents: Mapping[str, Any]) -> dict[str, str] | None:
    """Where the packages were whose classes a checkpoint names, if this user's own run wrote it.

    Args:
        contents: What it holds of ours.

    Returns:
        File or folder by package; null: nobody knows who wrote it.
    """
    signature, secret = contents.get(_KEY), _read(secret_file())
    if secret is None or not isinstance(signature, dict):
        return None
    found, code = signature.get("places"), signature.get("code")
    if not isinstance(found, dict) or not isinstance(code, str):
        return None
    same = hmac.compare_digest(code.encode(errors="replace"), _code(secret, contents, found).encode())
    return found if same else None


def secret_file() -> Path:
    """Where this user's secret is: ``mtl_lightning/secret`` in the folder of his configurations."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(folder, "mtl_lightning", "secret")


def _code(secret: bytes, contents: Mapping[str, Any], found: Mapping[str, str]) -> str:
    parts = {key: contents.get(key) for key in SIGNED} | {"places": found}
    return hmac.new(secret, json.dumps(_plain(parts), sort_keys=True).encode(), "sha256").hexdigest()


def _plain(value: Any) -> Any:
    """What JSON can hold, and in one order, whatever the values are; different values differ."""
    if isinstance(value, Mapping):
        return {f"{type(key).__name__} {key}": _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def _secret() -> bytes | None:
    """This user's secret, which is made where there is none; null: it cannot be."""
    file = secret_file()
    if file.is_absolute() and not file.exists():
        with suppress(OSError):
            _make(file)
    return _read(file)


def _make(file: Path) -> None:
    """Writes a new secret; of several processes that do, the first one's counts."""
    unfinished = file.with_name(f".secret-{os.getpid()}-{secrets.token_hex(4)}")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            new.write(secrets.token_bytes(_BYTES))
        try:
            os.link(unfinished, file)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _read(file: Path) -> bytes | None:
    """The secret; null: there is none, or others could have read or written it.

    Without a home directory its path is relative, and somebody else may have filled the working directory.
    """
    if not file.is_absolute():
        return None
    try:
        with file.open("rb") as opened:
            state = os.fstat(opened.fileno())
            if state.st_uid != os.getuid() or stat.S_IMODE(state.st_mode) & 0o077:
                return None
            found = opened.read()
    except OSError:
        return None
    return found if len(found) == _BYTES else None
