"""The proxy that plays faults passes on faithfully what it is not to spoil, and spoils the rest."""

import hashlib
import json
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from attachfs.demo.launch import ArchiveConfig
from tests.conftest import serving
from tests.support import faultproxy
from tests.support.evidence import Evidence, attach
from tests.support.faultproxy import Fault, FaultProxy, faulty
from tests.support.mounts import Steering

_BYTES = 1_000_000


@pytest.fixture(scope="module")
def archive() -> Iterator[Steering]:
    """An empty archive."""
    with serving(ArchiveConfig(empty=True)) as running, Steering(running) as steering:
        yield steering


@pytest.fixture(scope="module")
def evidence(archive: Steering) -> Evidence:
    """An attachment of a million bytes."""
    return attach(archive.running, _BYTES)


@pytest.fixture
def proxy(archive: Steering) -> Iterator[FaultProxy]:
    """A proxy before the archive."""
    with faulty(archive.url) as proxy:
        yield proxy


def _client(archive: Steering, proxy: FaultProxy) -> httpx.Client:
    token = archive.token_file.read_text().split()[-1]
    return httpx.Client(
        base_url=f"{proxy.url}/archivist/v2",
        headers={"Authorization": f"Bearer {token}"},
        verify=ssl.create_default_context(cafile=proxy.ca_file) if proxy.ca_file else False,
        trust_env=False,
        timeout=10,
    )


@pytest.fixture
def client(archive: Steering, proxy: FaultProxy) -> Iterator[httpx.Client]:
    """A client with the archive's token."""
    with _client(archive, proxy) as client:
        yield client


def _path(evidence: Evidence) -> str:
    return f"/attachments/{evidence.path}"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_what_is_not_spoilt_is_passed_on(archive: Steering, evidence: Evidence, tls: bool) -> None:  # noqa: FBT001
    """Bodies, parts of them, refusals and tokens, on one connection that is kept."""
    with faulty(archive.url, tls=tls) as proxy, _client(archive, proxy) as client:
        assert client.get(f"/{evidence.directory}").json()["identity"] == evidence.directory
        assert client.get(_path(evidence)).content == evidence.content
        part = client.get(_path(evidence), headers={"Range": "bytes=1000-"})
        assert part.content == evidence.content[1000 if part.status_code == 206 else 0 :]
        assert client.head(_path(evidence)).content == b""
        assert client.get("/assets", headers={"Authorization": "none"}).status_code == 401
        body = {"grant_type": "none"}
        token = client.post(f"{proxy.url}/archivist/iam/v1/appidp/token", data=body)
        assert token.status_code >= 400
        assert client.get("/assets?page_size=1").json()["assets"]
        assert proxy.connections == 1
        assert proxy.met() == 0
        assert [asked.path for asked in proxy.requests][-1] == "/archivist/v2/assets?page_size=1"


def test_a_body_passes_through_without_being_held(archive: Steering, proxy: FaultProxy) -> None:
    """One of 24 MiB comes whole, block by block, and to readers that hang up nothing is owed."""
    large = attach(archive.running, 24 << 20)
    with _client(archive, proxy) as client:
        for _ in range(4):
            with client.stream("GET", _path(large)) as answer:
                next(answer.iter_raw())
        digest = hashlib.sha256()
        with client.stream("GET", _path(large)) as answer:
            for block in answer.iter_raw():
                digest.update(block)
        assert digest.hexdigest() == large.sha256s[0]


_BROKEN: dict[str, tuple[Fault, type[Exception] | None, int]] = {
    "reset before headers": (faultproxy.ResetBeforeHeaders(), httpx.ReadError, 0),
    "reset in headers": (faultproxy.ResetInHeaders(), httpx.ReadError, 0),
    "reset at 0": (faultproxy.ResetInBody(0), httpx.ReadError, 0),
    "cut at 0": (faultproxy.CutBody(0), httpx.RemoteProtocolError, 0),
    "cut in the middle": (faultproxy.CutBody(), httpx.RemoteProtocolError, _BYTES // 2),
    "one byte short": (faultproxy.CutBody(1, 1), httpx.RemoteProtocolError, _BYTES - 1),
    "garbage for chunks": (faultproxy.ChunkedGarbage(), httpx.RemoteProtocolError, 0),
    "no HTTP": (faultproxy.NotHttp(), httpx.RemoteProtocolError, 0),
    "huge headers": (faultproxy.HugeHeaders(), httpx.RemoteProtocolError, 0),
    "short": (faultproxy.ShortBody(), None, _BYTES - 1),
    "long": (faultproxy.LongBody(), None, _BYTES + 1),
    "long, unannounced": (faultproxy.LongBody(announced=False), None, _BYTES + 1),
    "dripping": (faultproxy.Drip(_BYTES // 4, 0.01), None, _BYTES),
    "stalled for a while": (faultproxy.Stall(0.5, 0.01), None, _BYTES),
    "late": (faultproxy.Stall(seconds=0.01), None, _BYTES),
    "other headers": (faultproxy.WithHeaders({"Date": "never"}), None, _BYTES),
    "other": (faultproxy.OtherBody(b"other"), None, 5),
}


@pytest.mark.parametrize("name", _BROKEN)
def test_a_fault_is_played_as_often_as_it_was_ordered(
    client: httpx.Client, proxy: FaultProxy, evidence: Evidence, name: str
) -> None:
    """Once, where the pattern says; what comes of it is what its name says."""
    fault, error, size_bytes = _BROKEN[name]
    proxy.add(fault, f"{evidence.attachments[0]}$")
    assert client.get(f"/{evidence.directory}").status_code == 200
    received = 0
    raised: type[Exception] | None = None
    try:
        with client.stream("GET", _path(evidence)) as answer:
            for block in answer.iter_raw(1):
                received += len(block)
    except httpx.TransportError as transport:
        raised = type(transport)
    assert (raised, received) == (error, size_bytes)
    assert proxy.met(evidence.attachments[0]) == 1
    assert client.get(_path(evidence)).content == evidence.content


def test_a_reset_in_the_middle_comes_after_some_bytes(
    client: httpx.Client, proxy: FaultProxy, evidence: Evidence
) -> None:
    """How many of them arrive is the kernel's matter."""
    proxy.add(faultproxy.ResetInBody())
    with client.stream("GET", _path(evidence)) as answer:
        blocks = answer.iter_raw(1)
        assert next(blocks) == evidence.content[:1]
        with pytest.raises(httpx.ReadError):
            list(blocks)


def test_answers_are_replaced(client: httpx.Client, proxy: FaultProxy, evidence: Evidence) -> None:
    """By others, by redirects, by what a function makes of them, by compressed ones."""
    proxy.add(faultproxy.Status(429, {"Retry-After": "7"}, b"slowly"))
    answer = client.get("/assets")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.content == b"slowly"
    proxy.add(faultproxy.Redirect("/elsewhere"))
    assert client.get("/assets").headers["Location"] == "/elsewhere"

    def renamed(record: dict[str, Any]) -> dict[str, Any]:
        return record | {"identity": "nobody"}

    proxy.add(faultproxy.RewriteJson(renamed), f"/{evidence.directory}$")
    assert client.get(f"/{evidence.directory}").json()["identity"] == "nobody"
    proxy.add(faultproxy.RewriteJson(lambda _: b"[" * 1000))
    assert client.get(f"/{evidence.directory}").content == b"[" * 1000
    proxy.add(faultproxy.Compressed())
    answer = client.get(_path(evidence))
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.content == evidence.content
    proxy.add(faultproxy.Bomb(16 << 20))
    assert len(client.get("/assets").content) == 16 << 20
    proxy.choose(lambda path: faultproxy.Status(418) if path.endswith("assets") else None)
    assert client.get("/assets").status_code == 418
    assert client.get(_path(evidence)).content == evidence.content
    proxy.clear()
    assert json.loads(client.get("/assets").content)
    assert proxy.connections == 1


def test_what_is_stalled_goes_on_once_released(
    client: httpx.Client, proxy: FaultProxy, evidence: Evidence
) -> None:
    """Before its headers or amid its body; one who hangs up is not waited for."""
    proxy.add(faultproxy.Stall(), "assets$", times=2)
    with pytest.raises(httpx.ReadTimeout):
        client.get("/assets", timeout=0.1)
    proxy.add(faultproxy.Stall(0.5), evidence.attachments[0])
    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(client.get, path) for path in ("/assets", _path(evidence))]
        while proxy.met() < 3:
            time.sleep(0.001)
        assert not any(one.done() for one in reading)
        proxy.release()
        answers = [one.result() for one in reading]
    assert answers[0].json()["assets"]
    assert answers[1].content == evidence.content


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_whole_servers_go_and_come_back(archive: Steering, evidence: Evidence, tls: bool) -> None:  # noqa: FBT001
    """Refusing, silent, hanging up at once or when a connection is used again: then all is well."""
    with faulty(archive.url, tls=tls) as proxy, _client(archive, proxy) as client:
        url = f"/{evidence.directory}"
        assert client.get(url).status_code == 200
        proxy.refuse()
        proxy.refuse()
        with pytest.raises(httpx.ConnectError, match="refused"):  # the one that was kept is cut
            client.get(url)
        proxy.accept()
        proxy.accept()
        assert client.get(url).status_code == 200
        proxy.black_hole()
        with pytest.raises(httpx.ReadTimeout):
            client.get(url, timeout=0.1)
        with pytest.raises(httpx.ConnectTimeout if tls else httpx.ReadTimeout):
            client.get(url, timeout=0.1)
        proxy.accept()
        assert client.get(url).status_code == 200
        proxy.add(faultproxy.CloseWhenReused())
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(url)
        proxy.add(faultproxy.Disconnect())
        with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)):
            client.get(url)
        proxy.forget()
        assert client.get(url).status_code == 200
        assert (proxy.connections, proxy.met(), len(proxy.requests)) == (1, 0, 1)
