"""nginx in the API's shape, plain and over TLS, and a network of 50 ms before it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.data import Data
from benchmarks.programs import compiled, found, free_port, listens, run, running

ROUND_TRIP_MS: Final = 50

_CONFIG: Final = """\
worker_processes 1;
daemon off;
pid {work}/nginx.pid;
error_log {work}/nginx.log;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 1000000;
    default_type application/octet-stream;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    ssl_certificate {work}/cert.pem;
    ssl_certificate_key {work}/key.pem;
    server {{
        listen 127.0.0.1:{plain};
        listen 127.0.0.1:{tls} ssl;
        location ~ ^/archivist/v2/attachments/(.*)/info$ {{
            default_type application/json;
            alias {data}/info/$1;
        }}
        location ~ ^/archivist/v2/attachments/(.*)$ {{ alias {data}/bytes/$1; }}
        location = /archivist/v2/assets {{
            default_type application/json;
            alias {data}/page;
        }}
        location ~ ^/archivist/v2/assets/[^/]+/events$ {{
            default_type application/json;
            return 200 '{{"events": [], "next_page_token": ""}}';
        }}
        location ~ ^/archivist/v2/(assets/[^/]+)$ {{
            default_type application/json;
            alias {data}/records/$1;
        }}
        location /files/ {{
            autoindex on;
            alias {data}/bytes/assets/;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Servers:
    """Hold the URLs of one nginx: plain, over TLS, and plain with 50 ms round trips."""

    plain: str
    tls: str
    delayed: str
    certificate: Path


@contextmanager
def serving(data: Data, work: Path) -> Iterator[Servers]:
    """Serve the data until the end of the block."""
    certificate = work / "cert.pem"
    run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", work / "key.pem", "-out", certificate),
    )
    plain, tls, delayed = free_port(), free_port(), free_port()
    config = work / "nginx.conf"
    owner = data.root.owner()
    config.write_text(
        _CONFIG.format(
            work=work,
            data=data.root,
            plain=plain,
            tls=tls,
            user="user root;" if owner == "root" else "",
        )
    )
    with ExitStack() as stack:
        stack.enter_context(
            running(
                [found("nginx"), "-c", config, "-p", work],
                ready=lambda: listens(plain),
                log=work / "nginx-start.log",
            )
        )
        stack.enter_context(
            running(
                [compiled("delay", work), str(delayed), str(plain), str(ROUND_TRIP_MS)],
                ready=lambda: listens(delayed),
                log=work / "delay.log",
            )
        )
        yield Servers(
            plain=f"http://127.0.0.1:{plain}",
            tls=f"https://127.0.0.1:{tls}",
            delayed=f"http://127.0.0.1:{delayed}",
            certificate=certificate,
        )
