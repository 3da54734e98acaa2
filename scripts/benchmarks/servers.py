"""nginx in the API's shape, plain and over TLS, and a network of 50 ms before it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.data import Data
from benchmarks.estates import Estate, blobs
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
        listen 127.0.0.1:{slow};
        set $limit_rate 0;
        if ($server_port = {slow}) {{ set $limit_rate 50000000; }}
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
    log_format counted $request_uri;
    map $arg_page_size $first_page {{ default first; 1 single; }}
    map $arg_page_token $page {{ default $arg_page_token; "" $first_page; }}
    map $blob $of_blob {{
        {blobs}
    }}
    {estates}
}}
"""
# The files behind it: `benchmarks.estates`.
_ESTATE: Final = """\
    server {{
        listen 127.0.0.1:{port};
        access_log {log} counted;
        default_type application/json;
        location = /archivist/v2/assets {{ alias {root}/assets/$page; }}
        location = /archivist/v2/assets/-/events {{ alias {root}/events/$page; }}
        location ~ ^/archivist/v2/assets/([0-9a-f-]+)$ {{ alias {root}/asset/$1; }}
        location ~ ^/archivist/v2/assets/([0-9a-f-]+)/events$ {{ alias {root}/asset-events/$1; }}
        location ~ ^/archivist/v2/assets/[0-9a-f-]+/events/([0-9a-f-]+)$ {{
            alias {root}/event/$1;
        }}
        location ~ ^/archivist/v2/attachments/.*/((?<blob>[0-9a-f][0-9a-f])[0-9a-f-]+)/info$ {{
            return 200 '{{"identity":"blobs/$1",$of_blob,"mime_type":"application/octet-stream",
                "timestamp_accepted":"2024-05-01T00:00:00Z","issuer":"local","subject":"",
                "tenantid":"tenant/8e0b600c-8234-43e4-860c-e95bdcd695a9",
                "scanned_status":"SCANNED_OK","scanned_bad_reason":"",
                "scanned_timestamp":"2024-05-02T00:00:00Z"}}';
        }}
        location ~ ^/archivist/v2/attachments/.*/(?<blob>[0-9a-f][0-9a-f])[0-9a-f-]+$ {{
            default_type application/octet-stream;
            alias {root}/blob/$blob;
        }}
    }}
"""


@dataclass(frozen=True, slots=True)
class EstateServer:
    """Hold the URLs of an estate, plain and with 50 ms round trips, and its log of requests."""

    plain: str
    delayed: str
    log: Path

    def request_count(self) -> int:
        """Return how many requests have been answered so far."""
        return self.log.read_bytes().count(b"\n")


@dataclass(frozen=True, slots=True)
class Servers:
    """Hold the URLs of one nginx: plain, over TLS, with 50 ms round trips, and at 50 MB/s."""

    plain: str
    tls: str
    delayed: str
    slow: str
    certificate: Path
    listed: EstateServer
    walked: EstateServer


@contextmanager
def serving(data: Data, work: Path) -> Iterator[Servers]:
    """Serve the data until the end of the block."""
    certificate = work / "cert.pem"
    run(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-keyout", work / "key.pem", "-out", certificate),
    )
    plain, tls, slow, listed, walked = (free_port() for _ in range(5))
    config = work / "nginx.conf"
    owner = data.root.owner()
    config.write_text(
        _CONFIG.format(
            work=work,
            data=data.root,
            plain=plain,
            tls=tls,
            slow=slow,
            user="user root;" if owner == "root" else "",
            blobs="\n".join(
                f'{prefix} \'"hash":{{"alg":"SHA256","value":"{blob.sha256}"}},'
                f'"size":{len(blob.body)}\';'
                for prefix, blob in blobs().items()
            ),
            estates="\n".join(
                _ESTATE.format(port=port, root=estate.root, log=_log(work, estate))
                for port, estate in ((listed, data.listed), (walked, data.walked))
            ),
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
        delay = compiled("delay", work)
        far = {port: stack.enter_context(_delayed(delay, port)) for port in (plain, listed, walked)}
        yield Servers(
            plain=_url(plain),
            tls=f"https://127.0.0.1:{tls}",
            delayed=_url(far[plain]),
            slow=_url(slow),
            certificate=certificate,
            listed=EstateServer(_url(listed), _url(far[listed]), _log(work, data.listed)),
            walked=EstateServer(_url(walked), _url(far[walked]), _log(work, data.walked)),
        )


@contextmanager
def _delayed(program: Path, port: int) -> Iterator[int]:
    """Serve a port with 50 ms round trips, and yield where."""
    far = free_port()
    with running(
        [program, str(far), str(port), str(ROUND_TRIP_MS)],
        ready=lambda: listens(far),
        log=program.with_suffix(".log"),
    ):
        yield far


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _log(work: Path, estate: Estate) -> Path:
    return work / f"{estate.name}.log"
