"""Records on their way out: identities of the public interface, and who may see them."""

from collections.abc import Callable

import trio
from starlette.requests import Request
from starlette.responses import Response

from attachfs.demo.api.answers import archive_of, json_answer
from attachfs.demo.archive import Archive
from attachfs.demo.errors import ApiError
from attachfs.demo.filters import Grammar, Predicate
from attachfs.demo.paging import Cursor
from attachfs.demo.storage import Row, Selection
from attachfs.demo.wire import Record, seconds

_NOBODY = {"issuer": "", "subject": "", "display_name": "", "email": ""}


def visible_asset(archive: Archive, uuid: str, *, public: bool, content: bool = False) -> Row:
    """Return an asset that the caller may see.

    Args:
        archive: Where it is.
        uuid: Of the asset.
        public: Whether the public interface asks.
        content: Whether it is asked for to serve an attachment rather than the record.

    Raises:
        ApiError: 403, it is denied; 404, there is none, or none that is public.
    """
    row = archive.storage.get("asset", uuid)
    if row is None or (public and not row.record["public"]):
        raise ApiError.missing("asset")
    _check_denial(archive, row, public=public, content=content)
    return row


def visible_event(
    archive: Archive, asset: Row, uuid: str, *, public: bool, content: bool = False
) -> Row:
    """Return an event of an asset that the caller may see.

    Raises:
        ApiError: 403, it is denied; 404, the asset has none such.
    """
    row = archive.storage.get("event", uuid)
    if row is None or row.asset != asset.uuid:
        raise ApiError.missing("event")
    _check_denial(archive, row, public=public, content=content)
    return row


def _check_denial(archive: Archive, row: Row, *, public: bool, content: bool) -> None:
    whole = archive.switches.deny_records and not public
    if row.deny == "all" or (not content and (whole or row.deny)):
        raise ApiError.forbidden()


def check_query(request: Request, *known: str) -> None:
    """Refuse a query with parameters that are unknown or given twice.

    Raises:
        ApiError: 400 (contract §5.5).
    """
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            raise ApiError.invalid(f"invalid query parameter not in proto: {name}")
    if len(names) != len(set(names)):
        raise ApiError.invalid("a query parameter is repeated")


def asset_out(archive: Archive, asset: Record, *, public: bool) -> Record:
    """Return an asset as its reader sees it (contract §2, 5.2)."""
    if archive.switches.at_time_is_now:
        asset = {**asset, "at_time": seconds(archive.now())}
    if public and archive.switches.public_prefix:
        return {**asset, "identity": f"public{asset['identity']}"}
    return asset


def event_out(archive: Archive, event: Record, *, public: bool) -> Record:
    """Return an event as its reader sees it; the public sees no principals (contract §5.3)."""
    if not public:
        return event
    event = {**event, "principal_declared": _NOBODY, "principal_accepted": _NOBODY}
    if archive.switches.public_prefix:
        for name in ("identity", "asset_identity"):
            event[name] = f"public{event[name]}"
    return event


async def list_answer(
    request: Request,
    grammar: Grammar,
    render: Callable[[Record], Record],
    *,
    asset: str | None = None,
    only: Predicate | None = None,
) -> Response:
    """Answer a list request: filters, one page, and the total where it is asked for.

    Args:
        request: The request.
        grammar: The parameters that the list knows.
        render: Makes a record what its reader sees.
        asset: UUID of the asset whose events are listed.
        only: What a record must fulfil besides, whatever the query.

    Raises:
        ApiError: 400, the query is malformed (contract §5.5, 5.6).
    """
    archive = archive_of(request)
    switches = archive.switches
    query = request.query_params.multi_items()
    cursor = archive.tokens.open(request.url.path, query, switches)
    predicates = grammar.compile(cursor.filters) + ([] if only is None else [only])
    limit = min(cursor.size or switches.default_page_limit, switches.max_page_limit)
    wants_total = request.headers.get("x-request-total-count", "").lower() == "true"
    selection = Selection(
        kind=grammar.kind,
        asset=asset,
        tracked=_tracked(grammar, cursor),
        ascending=cursor.ascending,
    )
    if only is not None or any(name != "tracked" for name, _ in cursor.filters):

        def matching() -> tuple[list[Row], int]:
            """Scan in a thread: every record has to be looked at."""
            page: list[Row] = []
            total = 0
            for row, owner in archive.storage.select(selection):
                if not all(predicate(row.record, owner) for predicate in predicates):
                    continue
                total += 1
                if len(page) <= limit and _is_behind(row, cursor):
                    page.append(row)
            return page, total

        page, total = await trio.to_thread.run_sync(matching)
    else:
        after = Selection(
            kind=selection.kind,
            asset=asset,
            tracked=selection.tracked,
            ascending=cursor.ascending,
            after=cursor.after,
        )
        page = archive.storage.first(after, limit + 1)
        counts = wants_total or switches.list_mode_206
        total = archive.storage.count(selection) if counts else 0
    more = len(page) > limit
    page = page[:limit]
    token = archive.tokens.token(_moved(cursor, page[-1].seq)) if more and page else ""
    headers = {"x-total-count": str(total)} if wants_total else {}
    status = 200
    if more and switches.list_mode_206:
        status = 206
        headers["content-range"] = f"items 0-{limit}/{total}"
    return json_answer(
        archive,
        {f"{grammar.kind}s": [render(row.record) for row in page], "next_page_token": token},
        status=status,
        headers=headers,
    )


def _tracked(grammar: Grammar, cursor: Cursor) -> bool | None:
    """Return which assets storage shall read: untracked ones hide by default (contract §5.2)."""
    if grammar.kind != "asset" or any(
        name == "filters" and "tracked" in value for name, value in cursor.filters
    ):
        return None
    wanted = [value for name, value in cursor.filters if name == "tracked"]
    if not wanted or wanted[-1] in ("TRACKED", "TRACKED_STATUS_UNSPECIFIED"):
        return True
    return None if wanted[-1] == "ANY" else False


def _is_behind(row: Row, cursor: Cursor) -> bool:
    if cursor.after is None:
        return True
    return row.seq > cursor.after if cursor.ascending else row.seq < cursor.after


def _moved(cursor: Cursor, seq: int) -> Cursor:
    return Cursor(
        scope=cursor.scope,
        filters=cursor.filters,
        size=cursor.size,
        order=cursor.order,
        after=seq,
    )
