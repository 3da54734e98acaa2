"""nginx in the API's shape, plain and over TLS, and a network of 50 ms before it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme

from harness.processes import compiled, found, started
from tests.support.ports import answers, free_port

_ROUND_TRIP_MS: Final = 50

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
    map $server_port $root {{ default {files}; {listed} {listed_root}; {walked} {walked_root}; }}
    map $server_port $is_counted {{ default 0; {listed} 1; {walked} 1; }}
    map $server_port $bytes_per_s {{ default 0; {slow} 50000000; }}
    map $arg_page_size $first_page {{ default first; 1 single; }}
    map $arg_page_token $page {{ default $arg_page_token; "" $first_page; }}
    server {{
        listen 127.0.0.1:{plain};
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
            alias {files}/bytes/;
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
    tls: str
    slow: str
    certificate: Path
    listed: Server
    walked: Server


@contextmanager
def serving(files: Path, listed: Path, walked: Path, work: Path) -> Iterator[Servers]:
    """Serve what is below three directories for the block; logs are written to `work`."""
    log, certificate = work / "requests.log", work / "ca.pem"
    log.write_text("\n")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(certificate)
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(work / "cert.pem")
    names = ("plain", "tls", "slow", "listed", "walked")
    ports = {name: free_port() for name in names}
    user = "user root;" if files.owner() == "root" else ""
    roots = {"files": files, "listed_root": listed, "walked_root": walked}
    config = work / "nginx.conf"
    config.write_text(_CONFIG.format(work=work, user=user, **roots, **ports))
    with ExitStack() as stack:
        nginx = [found("nginx"), "-c", config, "-p", work]
        start = started(nginx, log=work / "start.log", ready=lambda: answers(ports["plain"]))
        stack.enter_context(start)
        delay = compiled("delay", work)

        def server(name: str) -> Server:
            near = ports[name]
            far = stack.enter_context(_delayed(delay, near))
            return Server(near, _url(near), _url(far), log)

        yield Servers(
            files=server("plain"),
            tls=f"https://127.0.0.1:{ports['tls']}",
            slow=_url(ports["slow"]),
            certificate=certificate,
            listed=server("listed"),
            walked=server("walked"),
        )


def round_trips(took_s: float) -> float:
    """Return how many round trips of the delayed network take that long."""
    return took_s * 1e3 / _ROUND_TRIP_MS


@contextmanager
def _delayed(program: Path, port: int) -> Iterator[int]:
    """Serve a port with 50 ms round trips on the port that is yielded."""
    far = free_port()
    command = [program, str(far), str(port), str(_ROUND_TRIP_MS)]
    with started(command, log=program.with_suffix(".log"), ready=lambda: answers(far)):
        yield far


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
