"""Pages of lists: tokens that carry filters, order and position (contract §5.5)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

import msgspec

from attachfs.demo.errors import ApiError
from attachfs.demo.switches import Switches

Query = list[tuple[str, str]]
_ORDERS = ("DEFAULT", "SIMPLEHASHV1", "SIMPLEHASHV2")
_MAC_BYTES = 8
_MAX_PAGE_SIZE = 2**31 - 1


class Cursor(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Where in which list a client stands.

    `scope` is the list's path, `filters` the query without paging parameters, `size` the page
    size asked for (0 = the server's), `after` the sequence number of the last record sent.
    """

    scope: str
    filters: Query
    size: int
    order: str
    after: int | None = None

    @property
    def ascending(self) -> bool:
        """Whether the oldest comes first: the simple hashes read history forwards."""
        return self.order != "DEFAULT"


class TokenMint:
    """Writes and reads page tokens, which are opaque to clients and tied to this archive."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, cursor: Cursor) -> str:
        """Write a cursor as URL-safe text."""
        payload = msgspec.msgpack.encode(cursor)
        return base64.urlsafe_b64encode(self._mac(payload) + payload).decode().rstrip("=")

    def cursor(self, token: str) -> Cursor:
        """Read a cursor back.

        Raises:
            ApiError: 400, the token was not written here.
        """
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError as error:
            raise ApiError.invalid("invalid page_token") from error
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload)):
            raise ApiError.invalid("invalid page_token")
        return msgspec.msgpack.decode(payload, type=Cursor)

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, hashlib.sha256)[:_MAC_BYTES]

    def open(self, scope: str, query: Sequence[tuple[str, str]], switches: Switches) -> Cursor:
        """Read the paging part of a query, in any of the client styles the switches accept.

        Args:
            scope: The list asked for.
            query: All parameters in order.
            switches: Which styles of resuming are accepted.

        Raises:
            ApiError: 400, a paging parameter is malformed or the token is of another list.
        """
        filters = [(name, value) for name, value in query if name not in _PAGING]
        paging = [(name, value) for name, value in query if name in _PAGING]
        given = dict(paging)
        if len(given) != len(paging):
            raise ApiError.invalid("a paging parameter is repeated")
        order = given.get("order_by", "DEFAULT")
        if order not in _ORDERS:
            raise ApiError.invalid(f"invalid value for order_by: {order}")
        size = _page_size(given.get("page_size", "0"))
        token = given.get("page_token", "")
        if not token:
            return Cursor(scope=scope, filters=filters, size=size, order=order)
        cursor = self.cursor(token)
        if cursor.scope != scope:
            raise ApiError.invalid("page_token is of another list")
        styles = _styles(cursor, filters, set(given) - {"page_token"})
        if not styles & set(switches.page_token_styles):
            raise ApiError.invalid("page_token does not go with these parameters")
        return msgspec.structs.replace(cursor, size=size or cursor.size)


_PAGING = frozenset(("page_size", "page_token", "order_by"))


def _styles(cursor: Cursor, filters: Query, paging: set[str]) -> set[str]:
    """Name the styles (a), (b), (c) of contract §5.5 that a resuming request may be of."""
    styles = set()
    if not filters and not paging:
        styles.add("token-only")
    if not filters and paging == {"page_size"}:
        styles.add("token+page_size")
    if sorted(filters) == sorted(cursor.filters):
        styles.add("token+query")
    return styles


def _page_size(text: str) -> int:
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or int(text) > _MAX_PAGE_SIZE:
        raise ApiError.invalid(f"invalid value for page_size: {text}")
    return int(text)
