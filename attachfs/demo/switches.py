"""What the contract leaves open, as switches that may be thrown while the archive runs."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import msgspec

from attachfs.demo.errors import ApiError

PagingStyle = Literal["token-only", "token+page_size", "token+query"]


class Switches(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Choices between behaviours for which there is no evidence (contract §12.7).

    The defaults are what the contract infers to be likeliest. `redirect` is empty (none),
    `same-origin` (attachments are moved to an alias path here) or the base URL of another server.
    `rate_limit_every` answers every n-th request with 429; 0 is never.
    """

    content_length: bool = True
    honour_range: bool = False
    etag: bool = False
    content_disposition: bool = False

    event_url_serves_asset_attributes: bool = True
    asset_url_serves_superseded: bool = False
    info_identity_prefix: Literal["attachments", "blobs"] = "attachments"
    minimal_info: bool = False

    public_prefix: bool = True
    public_wildcard: bool = False
    old_public_url: bool = False

    missing_token_status: Literal[401, 403] = 401
    unknown_verb_status: Literal[405, 501] = 501
    token_lifetime_s: float = 3660.0

    rate_limit_header: Literal["archivist", "retry-after", "both", "none"] = "archivist"
    rate_limit_every: int = 0
    rate_limit_reset_s: float = 1.0

    list_mode_206: bool = False
    default_page_limit: int = 100
    max_page_limit: int = 500
    page_token_styles: tuple[PagingStyle, ...] = ("token-only", "token+page_size", "token+query")
    key_order_shuffle: bool = False
    at_time_is_now: bool = False

    upload_limit_bytes: int = -1
    deny_listing: bool = False
    deny_records: bool = False
    redirect: str = ""

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return the switches with some of them thrown.

        Args:
            changes: New values by name of the switch.

        Raises:
            ApiError: 400, a switch is unknown or its value is of the wrong type.
        """
        merged = {**msgspec.to_builtins(self), **changes}
        try:
            return msgspec.convert(merged, type(self))
        except msgspec.ValidationError as error:
            raise ApiError.invalid(f"bad switch: {error}") from error
