"""What is answered where there is no prediction: a status, what is wrong, in which field, and how to mend it."""

from collections.abc import Mapping

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mtl_lightning.errors import did_you_mean, shown
from mtl_lightning.strict_json import to_json

PATHS = ("/", "/predict", "/tasks", "/health", "/metrics")


class Refusal(HTTPException):
    """A request that has no prediction.

    Args:
        status: Of HTTP.
        message: What is wrong, and how to mend it.
        field: Where in the request; null: in none of its fields.
        headers: Of the answer.
    """

    def __init__(
        self, status: int, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.field = field


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response that is JSON as its standard has it."""
    return Response(to_json(value), status, headers, "application/json")


async def refused(request: Request, error: Exception) -> Response:
    """The answer to a request that was refused, here or by the framework."""
    assert isinstance(error, HTTPException), "it is registered for these alone"
    headers = error.headers
    if isinstance(error, Refusal):
        about = {"error": error.detail} | ({} if error.field is None else {"field": error.field})
    elif error.status_code == 404:
        about = {"error": f"no path {shown(request.url.path)}; {did_you_mean(request.url.path, PATHS)}"}
    elif error.status_code == 405:
        allowed = (headers or {}).get("Allow", "another method")
        about = {"error": f"{request.url.path} takes {allowed}, found {shown(request.method)}"}
    else:
        about = {"error": str(error.detail)}
    return json_response(about, error.status_code, headers)
