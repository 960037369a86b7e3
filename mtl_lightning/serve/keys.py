"""The key that requests must bring."""

import hmac

from fastapi import Request

from mtl_lightning.serve.options import KEY
from mtl_lightning.serve.refusals import Refusal

OPEN = ("/", "/health")
"""Paths that need none: the page asks for the key itself, and who looks after processes has none."""


def check_key(key: str, request: Request) -> None:
    """Refuses a request without the key.

    Args:
        key: Of the server; empty: any may ask.
        request: To any path.

    Raises:
        Refusal: 401.
    """
    if not key or request.scope["path"] in OPEN:  # `url` is made of the header `Host`, too
        return
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), key.encode()):
        said = "has another key than the server" if given else "has no key"
        raise Refusal(
            401,
            f"the request {said}; send the header `Authorization: Bearer KEY` with the server's {KEY}",
            "Authorization",
            {"WWW-Authenticate": "Bearer"},
        )
