"""What an estate costs is reckoned from what was counted, and that is counted right."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from attachfs.demo.traffic import Logged  # noqa: E402
from harness.archive import OTHERS, CountedTraffic, kind_of  # noqa: E402 - the path comes first
from scaling import estate, model, report  # noqa: E402
from scaling.estate import Size  # noqa: E402
from scaling.model import Bounds, Confirms, Work, cost  # noqa: E402
from scaling.stages import Figures, Run  # noqa: E402

_SIZE = Size(100)
_START = Run(1.0, 1.0, 50_000_000)
_WORK = Work(
    infos=1,
    bodies=1,
    pages_an_asset=0.5,
    confirms=Confirms.LATE,
    cpu_s=0.004,
    fixed_s=1,
    memory_bytes=3000,
    fixed_bytes=5e7,
)
_UUID = "a1111111-1111-4111-8111-111111111111"


def test_a_small_estate_is_measured(tmp_path: Path) -> None:
    """By the real program: as many places and bodies as there are, each asked for once."""
    file = tmp_path / "scale.json"
    stages = [f"--stage={name}" for name in ("start", "first", "wire")]
    done = subprocess.run(
        [sys.executable, "-m", "scaling", "--attachments", "40", *stages, "--json", file],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "scripts:."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = Figures.read(file)
    size, first = figures.size, figures.runs["first"]
    assert size == Size(4)
    assert first.requests["infos"] == size.places == 60
    assert first.requests["bodies"] == size.attachments == 40
    assert first.bytes["bodies"] == sum(len(estate.content(number)) for number in range(40))
    assert first.peak_bytes > 10_000_000
    assert figures.runs["wire"].wire_bytes > first.bytes["bodies"] + first.bytes["infos"]
    assert figures.kept is not None
    assert figures.kept["report_bytes"] > 0
    assert "10 M attachments, 10 TB" in done.stdout


def test_no_two_attachments_are_equal() -> None:
    """Equal ones would be downloaded once."""
    contents = [estate.content(number) for number in range(5000)]
    assert len(set(contents)) == 5000
    assert {len(content) for content in contents} <= set(range(64, 1025))


def test_an_estate_has_at_least_so_many() -> None:
    """Assets are whole."""
    assert estate.of_attachments(1) == Size(1)
    assert estate.of_attachments(100_000).attachments == 100_000
    assert (Size(2).places, Size(2).events) == (30, 4)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("assets", "asset pages"),
        ("assets/-/events", "event pages"),
        (f"assets/{_UUID}/events", "event pages"),
        (f"assets/{_UUID}", "asset records"),
        (f"assets/{_UUID}/events/{_UUID}", "event records"),
        (f"attachments/assets/{_UUID}/{_UUID}/info", "infos"),
        (f"attachments/assets/{_UUID}/events/{_UUID}/{_UUID}", "bodies"),
        ("caps", OTHERS),
    ],
)
def test_requests_are_told_apart(path: str, kind: str) -> None:
    """By what they are for."""
    assert kind_of(f"/archivist/v2/{path}") == kind


def _logged(status: int) -> Logged:
    return Logged(
        method="GET",
        path="/archivist/v2/assets",
        query="",
        status=status,
        has_authorization=True,
        range="",
        response_bytes=10,
    )


def test_refusals_are_counted_apart() -> None:
    """And all of it once."""
    counts = CountedTraffic()
    for status in (200, 200, 429):
        counts.note(_logged(status))
    taken = {"asset pages": 2, "refusals": 1}
    assert counts.take()["requests"] == taken
    assert counts.take()["requests"] == {}


def test_what_is_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second's worth at once, then as many as time goes by."""
    now_s = 0.0
    monkeypatch.setattr("harness.archive.time.monotonic", lambda: now_s)
    counts = CountedTraffic(10)
    assert [counts.is_limited(0) for _ in range(12)] == [False] * 10 + [True] * 2
    now_s = 0.5
    assert [counts.is_limited(0) for _ in range(6)] == [False] * 5 + [True]
    counts.set_rate(0)
    assert not any(counts.is_limited(0) for _ in range(100))


def test_work_is_what_one_asset_does_not_take() -> None:
    """Each count by what it goes with; refusals are the server's own, records follow from it."""
    requests = {"infos": 1500, "bodies": 1000, "event pages": 40, "asset pages": 10}
    requests |= {"refusals": 9, "asset records": 90, "event records": 180}
    work = Work.of(Run(9.0, 7.0, 80_000_000, requests), _SIZE, _START, Confirms.LATE)
    assert (work.infos, work.bodies, work.pages_an_asset) == (1, 1, 0.5)
    assert work.cpu_s == pytest.approx(6 / 1500)
    assert work.memory_bytes == pytest.approx(30e6 / 1500)


def _cost(bounds: Bounds, size: Size = _SIZE) -> model.Cost:
    return cost(_WORK, size, bounds, body_bytes=1e6, request_bytes=1000)


def test_the_longest_bound_is_how_long_it_takes() -> None:
    """Requests, bytes, or the process itself."""
    requests = 50 + 1500 + 1000
    limited = _cost(Bounds(rate=100, ttl_s=3600))
    assert limited.requests == requests
    assert limited.bound == "requests"
    assert limited.seconds == pytest.approx(requests / 100)
    slow = _cost(Bounds(bytes_per_s=1e6))
    assert slow.egress_bytes == requests * 1000 + 1000 * 1e6
    assert slow.bound == "bandwidth"
    assert slow.seconds == pytest.approx(slow.egress_bytes / 1e6)
    alone = _cost(Bounds(bytes_per_s=1e12))
    body_s = 1e9 / model.BODY_BYTES_PER_S
    assert alone.bound == "process"
    assert alone.seconds == pytest.approx(1 + 6 + body_s)
    four = _cost(Bounds(bytes_per_s=1e12, workers=4))
    assert four.seconds == pytest.approx(1 + (6 + body_s) / 4)
    assert four.memory_bytes - 5e7 == pytest.approx((alone.memory_bytes - 5e7) / 4)


def test_a_right_that_was_confirmed_too_long_ago_is_confirmed_again() -> None:
    """By the record of each asset and event, unless --metadata-ttl is long enough."""
    once = _cost(Bounds(rate=100, ttl_s=3600))
    again = _cost(Bounds(rate=10))
    assert again.requests - once.requests == 300
    assert again.times_s["process"] - once.times_s["process"] == pytest.approx(0.15)
    # No more than 10,000 are found ahead.
    large = Size(1_000_000)
    assert not model.confirms_again(_WORK, large, Bounds(rate=500))
    assert model.confirms_again(_WORK, large, Bounds(rate=200))
    assert not model.confirms_again(_WORK, large, Bounds(rate=200, ttl_s=600))
    slow = replace(_WORK, cpu_s=0.01)
    assert model.confirms_again(slow, large, Bounds())
    assert not model.confirms_again(replace(_WORK, cpu_s=0), large, Bounds())


@pytest.mark.parametrize(("confirms", "records"), [(Confirms.NEVER, 0), (Confirms.ALWAYS, 300)])
def test_who_lists_confirms_nothing_and_who_knows_everything(
    confirms: Confirms, records: int
) -> None:
    """Whatever the limit."""
    work = replace(_WORK, bodies=0, confirms=confirms)
    for bounds in (Bounds(rate=1), Bounds(rate=100_000)):
        reckoned = cost(work, _SIZE, bounds, body_bytes=0, request_bytes=0)
        assert reckoned.requests == 50 + 1500 + records


def _figures(factor: int = 1) -> Figures:
    size = Size(100 * factor)
    requests = {"infos": size.places, "bodies": size.attachments, "asset pages": factor}
    records = {"asset records": size.assets, "event records": size.events}
    answers = {"infos": 400 * size.places, "bodies": 500 * size.attachments, "asset pages": 1600}
    first = Run(1 + 5.0 * factor, 1 + 4.0 * factor, 50_000_000 * (1 + factor), requests, answers)
    wire = replace(first, wire_bytes=1500 * first.all_requests)
    again = replace(first, requests=requests | records)
    runs = {"start": _START, "first": first, "again": again, "wire": wire}
    kept = {"index_bytes": 2**20, "objects_bytes": 2**21, "report_bytes": 2**19}
    return Figures(size, 100.0, runs, kept)


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    """All of them."""
    figures = _figures()
    figures.write(tmp_path / "scale.json")
    assert json.loads((tmp_path / "scale.json").read_text())["size"] == {"assets": 100}
    assert Figures.read(tmp_path / "scale.json") == figures


def test_what_grows_evenly_is_predicted() -> None:
    """An estate ten times as large is off by nothing where each item costs the same."""
    lines = report.told(_figures(10), _figures()).splitlines()
    predicted = [line for line in lines if "%" in line]
    assert len(predicted) == 6
    off = [abs(int(re.findall(r"([+-]\d+)%", line)[0])) for line in predicted]
    assert max(off) <= 5, predicted  # requests of their own take a little more than nothing


def test_a_table_says_what_ten_million_cost() -> None:
    """For each command that was measured, and by what is turned."""
    said = re.sub(" +", " ", report.told(_figures(), None))
    assert "| verify, first time | 28 M | " in said
    assert "| --metadata-ttl 6h | 25 M | " in said
    assert "| verify, from the cache | 28 M | " in said
