"""Which certificates are good: the one TLS context for all requests."""

import os
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Final

from attachfs.errors import CredentialsUnusable
from attachfs.files import require_regular

# X509_V_FLAG_NO_CHECK_TIME of x509_vfy.h, which Python has no name for.
_NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)


def trust(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return the TLS context that says which certificates are good.

    `ca_bundle` alone, or SSL_CERT_FILE/SSL_CERT_DIR alone, or else the system's authorities.
    Raises `CredentialsUnusable` for a bundle that cannot be read.
    """
    return _trusting(ca_bundle, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def lenient_trust(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return a context of the same authorities that passes over names and dates.

    It is for finding out what is wrong with a certificate: nothing may be sent by it.
    """
    cert_file, cert_dir = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    context = _trusting.__wrapped__(ca_bundle, cert_file, cert_dir)  # not the one that all share
    context.check_hostname = False
    context.verify_flags |= _NO_CHECK_TIME
    return context


# Reading all authorities takes 40 ms.
@lru_cache(maxsize=4)
def _trusting(
    ca_bundle: Path | None, cert_file: str | None, cert_dir: str | None
) -> ssl.SSLContext:
    del cert_file, cert_dir  # OpenSSL reads them
    if ca_bundle is None:
        return ssl.create_default_context()
    try:
        require_regular(ca_bundle, follow=True)
        return ssl.create_default_context(cafile=str(ca_bundle))
    except OSError as error:
        reason = "it is not PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise CredentialsUnusable(
            f"cannot use {ca_bundle} as --ca-bundle: {reason}; "
            "it should hold certificates in PEM form"
        ) from error
