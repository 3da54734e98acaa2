"""Identities of assets, events and attachments (contract section 2)."""

import re
from typing import Final, NamedTuple

_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_CANONICAL_UUID: Final = re.compile(_UUID)
_ATTACHMENT_PATH: Final = re.compile(rf"(public)?assets/({_UUID})(?:/events/({_UUID}))?/({_UUID})")


def is_uuid(name: str) -> bool:
    """Tell whether `name` is a bare lower-case UUID of any version (asset-free events use 7)."""
    return _CANONICAL_UUID.fullmatch(name) is not None


def uuid_of(identity: object) -> str | None:
    """Return the UUID that ends an identity such as `publicassets/<uuid>/events/<uuid>`.

    Only the last path segment counts: prefixes changed over the years (contract section 2).
    None where there is no UUID, whatever `identity` is.
    """
    if not isinstance(identity, str):
        return None
    last = identity.rpartition("/")[2].lower()
    return last if is_uuid(last) else None


# Named tuples: every request hashes some, and a dataclass does that in Python.
class Holder(NamedTuple):
    """Name an asset, or an event of it: what attachments hang on.

    The three fields of a path in the Attachments API are this and the attachment's UUID. What is
    `public` is asked for without a token, on paths of its own (contract section 7).
    """

    asset: str
    event: str | None = None
    public: bool = False

    @property
    def path(self) -> str:
        """The identity as URLs spell it: `[public]assets/<uuid>[/events/<uuid>]`."""
        collection = "publicassets" if self.public else "assets"
        if self.event is None:
            return f"{collection}/{self.asset}"
        return f"{collection}/{self.asset}/events/{self.event}"

    @property
    def owner(self) -> "Holder":
        """The asset itself, of an event as of an asset."""
        return self if self.event is None else Holder(self.asset, public=self.public)


class AttachmentPath(NamedTuple):
    """Name one attachment where it hangs: rights are per path, never per blob."""

    holder: Holder
    attachment: str

    @property
    def path(self) -> str:
        """The path below `/archivist/v2/attachments/` (contract section 3.1)."""
        return f"{self.holder.path}/{self.attachment}"


def attachment_path(path: str) -> AttachmentPath | None:
    """Return the attachment whose `path` this is, or None where it is not an attachment's."""
    found = _ATTACHMENT_PATH.fullmatch(path)
    if found is None:
        return None
    public, asset, event, attachment = found.groups()
    return AttachmentPath(Holder(asset, event, public is not None), attachment)
