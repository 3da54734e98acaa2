"""The token and what it may read, looked at with little asking."""

from pathlib import Path

import pytest

from attachfs.access.checkup.findings import Outcome
from attachfs.access.checkup.network import Network
from attachfs.access.checkup.rights import Rights
from attachfs.access.settings import Settings
from attachfs.archive.client_credentials import ClientCredentials
from attachfs.archive.credentials import GivenToken, TokenFile
from attachfs.archive.secrets import Secret
from tests.support.archives import token_of
from tests.support.checkups import having, looked_at
from tests.support.estates import Estate

_API = ["API", "assets", "events", "attachments"]


def _token(estate: Estate) -> GivenToken:
    return GivenToken(Secret(token_of(estate.running)))


async def test_a_token_may_read_what_there_is(estate: Estate) -> None:
    """Where there is nothing, there is nothing to try; the attachments of events do as well."""
    nothing = await looked_at(estate.running.url, _token(estate))
    assert having(nothing, Outcome.FAILED) == having(nothing, Outcome.WARNING) == []
    assert "of which it sees none" in nothing["assets"].found
    assert nothing["attachments"].found.startswith("unknown")
    holder, _ = estate.asset()
    event, (attachment,) = estate.event(holder, b"evidence")
    await estate.reset()
    found = await looked_at(estate.running.url, _token(estate))
    assert found["attachments"].found == f"/info can be read, of {event.path}/{attachment}"
    assert await estate.count() == 5  # for the clock, the API and each right


async def test_a_right_that_lacks_is_a_warning(estate: Estate) -> None:
    """As what is named can be read all the same; but not where no attachment can."""
    path = estate.one()
    estate.demo.set_switches(deny_listing=True)
    estate.demo.traffic.fail_next(path_regex="/assets/-/events$", status=403)
    found = await looked_at(estate.running.url, _token(estate))
    assert having(found, Outcome.WARNING) == ["assets", "events"]
    assert "access policy" in found["assets"].advice
    assert found["attachments"].outcome is Outcome.SKIPPED
    estate.demo.set_switches(deny_listing=False)
    estate.demo.traffic.fail_next(path_regex="/info$", status=403)
    found = await looked_at(estate.running.url, _token(estate))
    assert having(found, Outcome.FAILED) == ["attachments"]
    assert found["attachments"].exit_code == 1
    assert "access policy" in found["attachments"].advice
    estate.demo.edit_blob(path.attachment, delete=True)
    found = await looked_at(estate.running.url, _token(estate))
    assert found["attachments"].found == "unknown: of those that were tried, none is there"


@pytest.mark.parametrize(
    ("lifetime_s", "outcome", "said"),
    [
        (-7300, Outcome.FAILED, "it is over since 2 hours"),
        (300, Outcome.WARNING, "it serves for another 4 minutes"),
        (7300, Outcome.OK, "it serves for another 2 hours"),
    ],
)
async def test_a_token_serves_for_so_long(
    estate: Estate, tmp_path: Path, lifetime_s: int, outcome: Outcome, said: str
) -> None:
    """One that is over is not sent."""
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_text(estate.demo.identities.issue("an-id", lifetime_s))
    found = await looked_at(estate.running.url, TokenFile(path))
    assert (found["token"].outcome, found["token"].found) == (outcome, said)
    if outcome is not Outcome.OK:
        assert found["token"].advice == f"write a new token into {path}"
    if outcome is Outcome.FAILED:
        assert having(found, Outcome.SKIPPED)[-4:] == _API
        assert found["token"].exit_code == 23
    assert path.read_text() not in str(found)


async def test_a_token_is_judged_by_the_server_s_clock(estate: Estate) -> None:
    """One that seems to be over here may serve on there."""
    token = GivenToken(Secret(estate.demo.identities.issue("an-id", -60)))
    settings = Settings(url=estate.running.url, credentials=token, cache_dir=Path("/nonexistent"))
    network = Network(settings, limit_s=5)
    network.ahead_s = -7300.0
    finding = await next(Rights(settings, network, limit_s=5).checks()).run()
    assert finding.outcome is Outcome.OK


async def test_an_app_registration_gets_its_token_once(estate: Estate) -> None:
    """And where it gets none, its id is named and its secret is not."""
    running = estate.running
    secret = running.client_secret_file.read_text().strip()
    found = await looked_at(
        running.url, ClientCredentials(running.url, running.client_id, Secret(secret))
    )
    assert having(found, Outcome.FAILED) == []
    assert found["token"].found == "it serves for another 60 minutes"
    assert await estate.count("/token$") == 1
    found = await looked_at(
        running.url, ClientCredentials(running.url, running.client_id, Secret("hunter2"))
    )
    assert having(found, Outcome.FAILED) == ["token"]
    assert having(found, Outcome.SKIPPED)[-4:] == _API
    assert running.client_id in found["token"].advice
    assert "hunter2" not in str(found)


async def test_public_assets_are_tried_by_name(estate: Estate) -> None:
    """Without a token; one that is not public is named."""
    asset, _ = estate.asset(b"evidence", arc_display_name="shared")
    shared = estate.demo.create_asset({"public": True})["identity"].rpartition("/")[2]
    found = await looked_at(estate.running.url, public_assets=(shared,))
    assert found["assets"].found == "those that are named are public"
    found = await looked_at(estate.running.url, public_assets=(shared, asset.asset))
    assert found["assets"].found == f"not public: {asset.asset}"
    assert found["assets"].outcome is Outcome.WARNING
