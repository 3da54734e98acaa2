"""The report as a page: as text, and in a real browser."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from attachfs.audit.page import render
from attachfs.audit.report import Finding, Report, Verdict
from tests.support.browser import Page, browsing

pytestmark = pytest.mark.process

_SHOWN = "Array.from(document.querySelectorAll('tbody tr')).filter(r => r.checkVisibility())"
_NAMES = f"{_SHOWN}.map(r => r.querySelector('b').textContent)"
_HOSTILE = (
    "<script>document.title='taken'</script>",
    "</style></script></table><img src=x onerror=\"document.title='taken'\">",
    "$policy ${script} $$",
    "photo\u202egpj.exe",
    "nul\x00bell\x07\x1b[31m\u2028\ud800",
    "'\"><a href=javascript:alert(1)>",
    "&lt;b&gt;",
)


def _finding(name: str, verdict: Verdict = Verdict.VERIFIED, **changes: object) -> Finding:
    path = f"assets/{name}"
    fields = {"path": path, "identity": path, "file_name": name, "verdict": verdict}
    return Finding(**{**fields, **changes})  # type: ignore[arg-type]


def _report(*findings: Finding) -> Report:
    return Report(
        archive="https://archive.example",
        paths=("",),
        scan_policy="block-bad",
        program="attachfs 1",
        started="2026-01-02T03:04:05Z",
        ended="2026-01-02T03:05:05Z",
        findings=findings,
    )


_MIXED = _report(
    _finding(
        "a2.pdf", size_bytes=900, accepted="2024-05-06T07:08:09Z", mime_type="application/pdf"
    ),
    _finding("a10.png", size_bytes=2_000_000, mime_type="image/png", body_sha256="ab" * 32),
    _finding("b.txt", Verdict.MISMATCHED, size_bytes=50_000, reason="the bytes are others"),
    _finding("c.txt", Verdict.MISSING, size_bytes=None, reason="404"),
    _finding("d.exe", Verdict.BAD_SCAN, size_bytes=7, scanned_bad_reason="worm"),
)


def _jpeg() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (40, 30), (10, 120, 60)).save(made, "JPEG")
    return made.getvalue()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser for all tests."""
    with browsing(tmp_path_factory.mktemp("browser")) as page:
        page.resize(1400, 900)
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """It, and nothing may go wrong in it."""
    browser.problems.clear()
    yield browser
    assert browser.problems == []


def _open(page: Page, directory: Path, report: Report, **thumbnails: bytes) -> None:
    file = directory / "report.html"
    pictures = {f"assets/{name.replace('_', '.')}": jpeg for name, jpeg in thumbnails.items()}
    file.write_text(render(report, pictures), "utf-8", "backslashreplace")
    page.open(file)


def test_it_says_at_once_whether_all_is_well(page: Page, tmp_path: Path) -> None:
    """In words, and first what is not."""
    for report, headline in (
        (_MIXED, "3 of 5 need a look"),
        (_report(_finding("a")), "The attachment is verified"),
        (_report(_finding("a"), _finding("b")), "All 2 are verified"),
        (_report(_finding("a"), _finding("b", Verdict.MISSING)), "1 of 2 needs a look"),
        (_report(), "There was nothing to verify"),
    ):
        _open(page, tmp_path, report)
        assert page.ask("document.querySelector('h1').textContent") == headline
    _open(page, tmp_path, _MIXED)
    assert page.ask(_NAMES) == ["b.txt", "c.txt", "d.exe", "a2.pdf", "a10.png"]


def test_it_says_where_everything_came_from(page: Page, tmp_path: Path) -> None:
    """Of each finding, and of all together; times are those at which the server was asked."""
    report = _report(
        _finding(
            "a",
            record_source="server",
            record_asked="2026-01-02T03:04:06Z",
            info_source="server",
            info_asked="2026-01-02T03:04:07Z",
            body_source="cache",
        ),
        _finding("b", record_source="index", info_source="index", body_source="shared store"),
        _finding("c", Verdict.MISSING),
    )
    _open(page, tmp_path, report)
    cells = [
        page.ask(f"document.querySelectorAll('tbody tr')[{row}].cells[8].textContent")
        for row in range(3)
    ]
    assert cells[0] == ""
    assert cells[1] == (
        "record: server 2026-01-02 03:04:06/info: server 2026-01-02 03:04:07bytes: cache "
    )
    assert "bytes: shared store" in cells[2]
    facts = page.ask("document.querySelector('dl').textContent")
    assert "Records fromindex: 1, server: 1" in facts
    assert "Bytes fromcache: 1, shared store: 1" in facts


def test_it_is_sorted_by_any_column(page: Page, tmp_path: Path) -> None:
    """Sizes by number, names as people count; the other way at the second click."""
    _open(page, tmp_path, _MIXED)
    page.press("th:nth-child(5) button")
    assert page.ask(_NAMES) == ["c.txt", "d.exe", "a2.pdf", "b.txt", "a10.png"]
    assert page.ask("document.querySelector('th:nth-child(5)').ariaSort") == "ascending"
    page.press("th:nth-child(5) button")
    assert page.ask(_NAMES) == ["a10.png", "b.txt", "a2.pdf", "d.exe", "c.txt"]
    page.press("th:nth-child(2) button")
    assert page.ask(_NAMES) == ["a2.pdf", "a10.png", "b.txt", "c.txt", "d.exe"]
    assert page.ask("document.querySelectorAll('[aria-sort]').length") == 1


def test_it_is_filtered_by_verdict_and_words(page: Page, tmp_path: Path) -> None:
    """How many are shown is said, and what to do where none is."""
    _open(page, tmp_path, _MIXED)
    shown = "document.getElementById('shown').textContent"
    assert page.ask(shown) == "5 of 5"
    page.press("button[data-verdict='verified']")
    assert page.ask(_NAMES) == ["b.txt", "c.txt", "d.exe"]
    page.write("#search", "OTHERS  bytes")
    assert page.ask(_NAMES) == ["b.txt"]
    page.write("#search", "worm")
    assert (page.ask(_NAMES), page.ask(shown)) == (["d.exe"], "1 of 5")
    page.write("#search", "ab" * 32)
    assert page.ask(_NAMES) == []
    assert page.ask("document.getElementById('none').checkVisibility()")
    page.press("button[data-verdict='verified']")
    assert page.ask(_NAMES) == ["a10.png"]


def test_it_is_printed_whole(page: Page, tmp_path: Path) -> None:
    """On several pages, as many rows as there are, without what only a screen has."""
    findings = [_finding(f"{number}.txt") for number in range(200)]
    _open(page, tmp_path, _report(*findings))
    pages = len(re.findall(rb"/Type\s*/Page\b", page.printed()))
    assert 4 <= pages <= 20
    page.command("Emulation.setEmulatedMedia", media="print")
    assert not page.ask("document.getElementById('search').checkVisibility()")
    page.command("Emulation.setEmulatedMedia", media="")


def test_images_have_pictures(page: Page, tmp_path: Path) -> None:
    """That stand in the page itself; nothing is loaded from anywhere."""
    _open(page, tmp_path, _MIXED, a10_png=_jpeg())
    sizes = "Array.from(document.images).map(i => [i.naturalWidth, i.naturalHeight])"
    assert page.ask(sizes) == [[40, 30]]
    assert page.requests() == [(tmp_path / "report.html").as_uri()]


def test_what_an_archive_says_stays_text(page: Page, tmp_path: Path) -> None:
    """Wherever it is shown; what cannot be seen is shown by its number."""
    findings = [
        _finding(
            f"{number}",
            Verdict.MISMATCHED,
            path=f"assets/{text}",
            identity=text,
            reason=text,
            asset_name=text,
            event_type=text,
            file_name=text,
            mime_type=text,
            scanned_status=text,
            scanned_bad_reason=text,
            record_sha256=(text,),
            accepted=text,
            scanned=text,
        )
        for number, text in enumerate(_HOSTILE)
    ]
    _open(page, tmp_path, _report(*findings))
    assert page.ask("document.title") == "Verification of attachments"
    assert page.ask("document.querySelectorAll('tbody tr').length") == len(_HOSTILE)
    elements = "document.querySelectorAll('tbody :is(script, img, a, style, iframe)').length"
    assert page.ask(elements) == 0
    names = page.ask(_NAMES)
    assert names[:3] == list(_HOSTILE[:3])
    assert names[3] == "photoU+202Egpj.exe"
    assert names[4] == "nulU+0000bellU+0007U+001B[31mU+2028U+D800"
    assert names[5:] == list(_HOSTILE[5:])


def test_its_policy_lets_no_other_script_run(browser: Page, tmp_path: Path) -> None:
    """Even one that had found its way into the page."""
    file = tmp_path / "report.html"
    planted = "<script>document.title='taken'</script><img src='https://other.example/x'>"
    file.write_text(render(_MIXED, {}).replace("<footer>", f"{planted}<footer>"))
    browser.problems.clear()
    browser.open(file)
    assert browser.ask("document.title") == "Verification of attachments"
    assert (
        len([problem for problem in browser.problems if "Content Security Policy" in problem]) == 2
    )


def test_it_can_be_read_without_scripts(page: Page, tmp_path: Path) -> None:
    """All rows, no controls that would do nothing."""
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    _open(page, tmp_path, _MIXED)
    page.command("Emulation.setScriptExecutionDisabled", value=False)
    assert page.ask(f"{_SHOWN}.length") == 5
    assert not page.ask("document.getElementById('controls').checkVisibility()")


def test_many_findings_are_all_there(page: Page, tmp_path: Path) -> None:
    """None is lost while they are sorted and filtered."""
    findings = [_finding(f"{number}.txt", size_bytes=number) for number in range(1_000)]
    _open(page, tmp_path, _report(*findings))
    page.press("th:nth-child(5) button")
    page.press("th:nth-child(5) button")
    assert page.ask(f"{_SHOWN}.length") == 1_000
    assert page.ask(f"({_NAMES})[0]") == "999.txt"
