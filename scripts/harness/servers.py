"""nginx in the API's shape, plain and over TLS, and a network of 50 ms before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme

from harness.delay import delay
from harness.processes import started, worker
from tests.support.ports import answers, free_port

_ROUND_TRIP_MS: Final = 50
_URL: Final = "http://127.0.0.1:{}"
_DELAYED: Final = ("files", "listed", "walked")
_PATIENCE_S: Final = 60.0

# Below the root of a port: pages by their tokens, records, /info and bytes (benchmarks.data).
_CONFIG: Final = """\
worker_processes 1;
daemon off;
pid {work}/nginx.pid;
error_log {work}/nginx.log;
{user}
events {{ worker_connections 1024; }}
http {{
    log_format counted "$server_port $request_uri";
    access_log {work}/requests.log counted if=$is_counted;
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 1000000;
    default_type application/json;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    ssl_certificate {work}/cert.pem;
    ssl_certificate_key {work}/cert.pem;
    map $server_port $root {{ default {root}; {listed} {listed_root}; {walked} {walked_root}; }}
    map $server_port $is_counted {{ default 0; {listed} 1; {walked} 1; }}
    map $server_port $bytes_per_s {{ default 0; {slow} 50000000; }}
    map $arg_page_size $first_page {{ default first; 1 single; }}
    map $arg_page_token $page {{ default $arg_page_token; "" $first_page; }}
    server {{
        listen 127.0.0.1:{files};
        listen 127.0.0.1:{tls} ssl;
        listen 127.0.0.1:{slow};
        listen 127.0.0.1:{listed};
        listen 127.0.0.1:{walked};
        limit_rate $bytes_per_s;
        location = /archivist/v2/assets {{ alias $root/assets/$page; }}
        location = /archivist/v2/assets/-/events {{ alias $root/events/$page; }}
        location ~ ^/archivist/v2/assets/([^/]+)$ {{ alias $root/asset/$1; }}
        location ~ ^/archivist/v2/assets/([^/]+)/events$ {{ alias $root/asset-events/$1; }}
        location ~ ^/archivist/v2/assets/[^/]+/events/([^/]+)$ {{ alias $root/event/$1; }}
        location ~ ^/archivist/v2/attachments/assets/(.*)/info$ {{ alias $root/info/$1; }}
        location ~ ^/archivist/v2/attachments/assets/(.*)$ {{
            default_type application/octet-stream;
            alias $root/bytes/$1;
        }}
        location /files/ {{
            default_type application/octet-stream;
            autoindex on;
            alias {root}/bytes/;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """The URLs of one archive, plain and with 50 ms round trips, and the log of its requests."""

    port: int
    plain: str
    delayed: str
    log: Path

    def request_count(self) -> int:
        """Return how many requests have been answered so far; those to `files` are not logged."""
        return self.log.read_text().count(f"\n{self.port} ")


@dataclass(frozen=True, slots=True)
class Servers:
    """One nginx: the files also over TLS and at 50 MB/s, and the archives to list and to walk."""

    files: Server
    listed: Server
    walked: Server
    tls: str
    slow: str
    certificate: Path


@contextmanager
def serving(files: Path, listed: Path, walked: Path, work: Path) -> Iterator[Servers]:
    """Serve what is below three directories for the block; logs are written to `work`."""
    log, certificate = work / "requests.log", work / "ca.pem"
    log.write_text("\n")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(certificate)
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(work / "cert.pem")
    names = ("files", "tls", "slow", "listed", "walked")
    ports = {name: free_port() for name in names}
    user = "user root;" if files.owner() == "root" else ""
    roots = {"root": files, "listed_root": listed, "walked_root": walked}
    config = work / "nginx.conf"
    config.write_text(_CONFIG.format(work=work, user=user, **roots, **ports))
    nginx = ("nginx", "-c", config, "-p", work)
    with (
        started(nginx, log=work / "start.log", ready=lambda: answers(ports["files"])),
        worker(delay, [ports[name] for name in _DELAYED], _ROUND_TRIP_MS) as network,
    ):
        urls = {name: _URL.format(port) for name, port in ports.items()}
        archives = {
            name: Server(ports[name], urls[name], _URL.format(far), log)
            for name, far in zip(_DELAYED, network.receive(_PATIENCE_S), strict=True)
        }
        tls = urls["tls"].replace("http", "https")
        yield Servers(tls=tls, slow=urls["slow"], certificate=certificate, **archives)


def round_trips(took_s: float) -> float:
    """Return how many round trips of the delayed network take that long."""
    return took_s * 1e3 / _ROUND_TRIP_MS
