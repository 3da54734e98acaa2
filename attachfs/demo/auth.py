"""Tokens and the applications that fetch them (contract §1.2, 1.3)."""

import base64
import hmac
import secrets
import uuid as uuids
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from attachfs.demo.errors import ApiError
from attachfs.demo.ledger import TENANT, TENANT_UUID
from attachfs.demo.storage import Storage
from attachfs.demo.wire import Record, seconds

_HEADER = {"alg": "HS256", "typ": "at+jwt", "kid": "embedded"}
_ISSUER = "https://archive.example/appidpv1"
_AUDIENCE = "https://archive.example/archivist"
_SECRET_VALID = timedelta(days=365)


class Identities:
    """Issues and checks tokens, and keeps applications.

    The signing key lives in the storage, so tokens outlive a restart. Where others could read it,
    it and all secrets are renewed.

    Args:
        storage: Where applications and the key are kept.
        now: The clock, returning an aware time.
    """

    def __init__(self, storage: Storage, now: Callable[[], datetime]) -> None:
        self._storage = storage
        self._now = now
        key = storage.meta("signing_key")
        if key is None or storage.was_exposed:
            key = secrets.token_hex(32)
            storage.set_meta("signing_key", key)
        self.key = bytes.fromhex(key)
        if storage.was_exposed:  # whoever copied them could still use them
            for application in self.applications(None):
                self.regenerate_secret(application["client_id"])

    # --- tokens --------------------------------------------------------------------------

    def issue(self, client_id: str, lifetime_s: float, *, revocable: bool = True) -> str:
        """Return a new JWT with the payload of contract §1.3.

        Args:
            client_id: Whom it names.
            lifetime_s: How long it is good for; not above 0 makes one that has expired already.
            revocable: Whether `revoke_all` ends it.
        """
        issued_s = self._now().timestamp()
        payload: Record = {
            "jit_tenant_id": TENANT,
            "name": "attachfs",
            "jit_tier": "FREE",
            "jti": secrets.token_urlsafe(16),
            "sub": client_id,
            "iat": int(issued_s),
            "exp": int(issued_s + lifetime_s),
            "client_id": client_id,
            "iss": _ISSUER,
            "aud": _AUDIENCE,
        }
        if revocable:
            payload["generation"] = self._generation()
        signed = f"{_encoded(_HEADER)}.{_encoded(payload)}"
        return f"{signed}.{self._signature(signed)}"

    def grant(self, form: Mapping[str, Any], lifetime_s: float) -> Record:
        """Answer a client-credentials request.

        Raises:
            ApiError: 400, another grant type; 401, wrong id or secret (contract §1.3).
        """
        if form.get("grant_type") != "client_credentials":
            raise ApiError(400, {"error": "unsupported_grant_type"})
        client_id, secret = str(form.get("client_id", "")), str(form.get("client_secret", ""))
        application = self._storage.load("applications", client_id) or {"credentials": []}
        if not any(
            hmac.compare_digest(item["secret"].encode(), secret.encode())
            for item in application["credentials"]
        ):
            raise ApiError(401, {"error": "invalid_client"})
        return {
            "access_token": self.issue(client_id, lifetime_s),
            "expires_in": int(lifetime_s),
            "token_type": "Bearer",
        }

    def check(self, authorization: str | None, missing_status: int) -> Record:
        """Return the payload of the token in an Authorization header.

        Args:
            authorization: The header's value.
            missing_status: The status that refuses a missing header.

        Raises:
            ApiError: 401 or `missing_status` (contract §10).
        """
        if not authorization:
            if missing_status == 403:  # noqa: PLR2004 -- the two forms of contract §10
                raise ApiError(403, {"message": "Invalid Token"})
            raise ApiError.rpc(missing_status, "no credentials found")
        scheme, _, token = authorization.partition(" ")
        signed, _, signature = token.strip().rpartition(".")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            self._signature(signed).encode(), signature.encode()
        ):
            raise ApiError.rpc(401, "JWT is not valid")
        payload: Record = msgspec.json.decode(_decoded(signed.partition(".")[2]), type=Record)
        if payload["exp"] <= self._now().timestamp():
            raise ApiError.rpc(401, "JWT is expired")
        if payload.get("generation", self._generation()) != self._generation():
            raise ApiError.rpc(401, "JWT is not valid")
        return payload

    def revoke_all(self) -> None:
        """Make every token that was fetched so far invalid."""
        self._storage.set_meta("generation", str(self._generation() + 1))

    def _generation(self) -> int:
        return int(self._storage.meta("generation") or 0)

    def _signature(self, signed: str) -> str:
        return _base64(hmac.digest(self.key, signed.encode(), "sha256"))

    # --- applications --------------------------------------------------------------------

    def create_application(self, body: Record, *, uuid: str | None = None) -> Record:
        """Create an application; the answer is the only one that shows its secret.

        Raises:
            ApiError: 400, a field is of the wrong type.
        """
        uuid = uuid or str(uuids.uuid4())
        record = {
            "identity": f"applications/{uuid}",
            "display_name": "",
            "client_id": uuid,
            "tenant_id": f"tenant/{TENANT_UUID}",
            "credentials": [self._credential()],
            "custom_claims": {},
            **_application_fields(body),
        }
        self._storage.save("applications", uuid, record)
        return record

    def application(self, uuid: str) -> Record:
        """Return an application without its secrets.

        Raises:
            ApiError: 404, there is none.
        """
        record = self._storage.load("applications", uuid)
        if record is None:
            raise ApiError.missing("application")
        return _without_secrets(record)

    def applications(self, display_name: str | None) -> list[Record]:
        """Return all applications, or those of a name, without their secrets."""
        return [
            _without_secrets(record)
            for record in self._storage.load_all("applications")
            if display_name is None or record["display_name"] == display_name
        ]

    def update_application(self, uuid: str, body: Record) -> Record:
        """Change name or claims of an application.

        Raises:
            ApiError: 400, a field is of the wrong type; 404, there is none.
        """
        self.application(uuid)
        record = {**(self._storage.load("applications", uuid) or {}), **_application_fields(body)}
        self._storage.save("applications", uuid, record)
        return _without_secrets(record)

    def regenerate_secret(self, uuid: str) -> Record:
        """Give an application a new secret, which the answer shows.

        Raises:
            ApiError: 404, there is none.
        """
        record = {**self.application(uuid), "credentials": [self._credential()]}
        self._storage.save("applications", uuid, record)
        return record

    def delete_application(self, uuid: str) -> None:
        """Delete an application.

        Raises:
            ApiError: 404, there is none.
        """
        self.application(uuid)
        self._storage.remove("applications", uuid)

    def secret_of(self, uuid: str) -> str | None:
        """Return the secret of an application, None if there is none such."""
        record = self._storage.load("applications", uuid)
        return None if record is None else str(record["credentials"][0]["secret"])

    def _credential(self) -> Record:
        now = self._now()
        return {
            "secret": secrets.token_hex(32),
            "valid_from": seconds(now),
            "valid_until": seconds(now + _SECRET_VALID),
        }


def _application_fields(body: Record) -> Record:
    fields: Record = {}
    if isinstance(name := body.get("display_name"), str):
        fields["display_name"] = name
    claims = body.get("custom_claims")
    if isinstance(claims, dict) and all(isinstance(value, str) for value in claims.values()):
        fields["custom_claims"] = claims
    wrong = [name for name in ("display_name", "custom_claims") if name in body.keys() - fields]
    if wrong:
        raise ApiError.invalid(f"bad value for {wrong[0]}")
    return fields


def _without_secrets(record: Record) -> Record:
    return {**record, "credentials": [{**item, "secret": ""} for item in record["credentials"]]}


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _encoded(value: Record) -> str:
    return _base64(msgspec.json.encode(value))


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
