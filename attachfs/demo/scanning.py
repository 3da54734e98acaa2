"""Whether a download is refused because of the malware scan (contract §3.3)."""

from collections.abc import Mapping

from attachfs.demo.errors import ApiError

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_BAD = "this attachment is not safe - if you wish to download it add allow_insecure=true"
_UNSURE = (
    "this attachment is potentially not safe - if you wish to download it add allow_insecure=true"
)
STATUSES = ("NOT_SCANNED", "SCANNED_OK", "SCANNED_BAD")
"""What `scanned_status` may be (contract §3.2)."""


def check_download(scanned_status: str, query: Mapping[str, str]) -> None:
    """Refuse a download that `allow_insecure` and `strict` do not permit.

    Raises:
        ApiError: 400, with the service's texts and `code` a string (contract §3.3).
    """
    allow_insecure = _truth("allow_insecure", query)
    strict = _truth("strict", query)
    if allow_insecure:
        return
    if scanned_status == "SCANNED_BAD":
        raise ApiError.plain(400, _BAD)
    if strict and scanned_status != "SCANNED_OK":
        raise ApiError.plain(400, _UNSURE)


def _truth(name: str, query: Mapping[str, str]) -> bool:
    value = query.get(name, "")
    if value in _TRUE:
        return True
    if not value or value in _FALSE:
        return False
    raise ApiError.plain(
        400,
        f"illegal value for '{name}' must be truthy value: "
        "1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False",
    )
