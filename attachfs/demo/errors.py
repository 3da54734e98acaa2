"""Failures of the embedded archive: one for whoever starts it, one for whoever calls it."""

from http import HTTPStatus
from typing import Any, Self

# The standard mapping of HTTP statuses to the numbers of google.rpc.Code (contract §10).
_RPC_CODES = {
    400: 3,
    401: 16,
    402: 12,
    403: 7,
    404: 5,
    405: 12,
    409: 6,
    429: 8,
    500: 13,
    501: 12,
    503: 14,
    504: 4,
}
_RPC_UNKNOWN = 2


class ArchiveError(Exception):
    """The archive cannot be started as asked; the message is one sentence saying what to do."""


class ApiError(Exception):
    """A request is refused: an HTTP status and the JSON body that goes with it."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status} {body.get('message', '')}")
        self.status = status
        self.body = body

    @classmethod
    def rpc(cls, status: int, message: str) -> Self:
        """Refuse in the form of a gRPC gateway, `code` being a number (contract §10)."""
        code = _RPC_CODES.get(status, _RPC_UNKNOWN)
        return cls(status, {"code": code, "message": message, "details": []})

    @classmethod
    def plain(cls, status: int, message: str) -> Self:
        """Refuse in the hand-made form of up- and downloads, `code` a string (contract §3.3)."""
        return cls(status, {"code": str(status), "message": message, "details": []})

    @classmethod
    def invalid(cls, message: str) -> Self:
        """Refuse a malformed request with 400 and code 3 (contract §10)."""
        return cls.rpc(HTTPStatus.BAD_REQUEST, message)

    @classmethod
    def missing(cls, what: str) -> Self:
        """Refuse with 404 and code 5; `what` names the thing, as in `asset` (contract §10)."""
        return cls.rpc(HTTPStatus.NOT_FOUND, f"{what} not found")

    @classmethod
    def forbidden(cls) -> Self:
        """Refuse with 403 and code 7 (contract §10)."""
        return cls.rpc(HTTPStatus.FORBIDDEN, "access denied by policy")
