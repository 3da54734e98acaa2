"""Clients of a test's own, for servers on this machine without TLS."""

import ssl
from typing import Final

# httpx reads all authorities for each client, 40 ms, which the suite would do two thousand times.
NO_AUTHORITIES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
