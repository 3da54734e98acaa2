"""The report as one page of HTML that needs nothing else and runs nothing of a stranger's."""

import base64
import hashlib
import html
from collections.abc import Iterator, Mapping
from importlib.resources import files
from string import Template
from typing import Final

from attachfs.audit.report import Finding, Report, Verdict, is_well
from attachfs.escaping import MAX_LINE_CHARS, cut
from attachfs.wording import rough_size

_SIZE_COLUMN: Final = 4


def render(report: Report, thumbnails: Mapping[str, bytes]) -> str:
    """Return the report as HTML, JPEGs shown at the findings of their paths.

    All rows stand in it, what needs a look first: without scripts it can be read and printed. Its
    policy lets no script run but its own, and nothing be loaded. Whatever an archive says is shown
    as text of a bounded length, characters that cannot be printed by their numbers.
    """
    style, script = _part("page.css"), _part("page.js")
    return Template(_part("page.html")).substitute(
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'",
        style=style,
        script=script,
        archive=_text(report.archive),
        outcome="well" if is_well(report.counts) else "unwell",
        headline=_headline(report),
        facts="\n".join(_facts(report)),
        verdicts="\n".join(_buttons(report)),
        rows="\n".join(
            _row(finding, thumbnails.get(finding.path))
            for finding in sorted(report.findings, key=_is_verified)
        ),
        total=f"{len(report.findings):,}",
    )


def _part(name: str) -> str:
    return files("attachfs.audit").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256-{digest.decode()}"


def _headline(report: Report) -> str:
    total = len(report.findings)
    well = report.counts[Verdict.VERIFIED]
    if not total:
        return "There was nothing to verify"
    if is_well(report.counts):
        return "The attachment is verified" if total == 1 else f"All {total:,} are verified"
    bad = total - well
    return f"{bad:,} of {total:,} need{'s' if bad == 1 else ''} a look"


def _is_verified(finding: Finding) -> bool:
    return finding.verdict is Verdict.VERIFIED


def _facts(report: Report) -> Iterator[str]:
    paths = ", ".join(path or "everything" for path in report.paths)
    for name, value in (
        ("Archive", report.archive),
        ("Looked at", paths),
        ("Scan policy", report.scan_policy),
        ("Begun", report.started),
        ("Ended", report.ended),
        ("Verified", rough_size(report.verified_bytes)),
        *(
            (f"{name} from", _counted(report.sources[what]))
            for what, name in (("record", "Records"), ("info", "/info"), ("body", "Bytes"))
        ),
        ("By", report.program),
    ):
        yield f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>"


def _counted(sources: Mapping[str, int]) -> str:
    return ", ".join(f"{source}: {count:,}" for source, count in sources.items()) or "nowhere"


def _buttons(report: Report) -> Iterator[str]:
    for verdict, count in report.counts.items():
        name = verdict.value
        yield (
            f'<button type="button" class="{_css_class(verdict)}" data-verdict="{name}" '
            f'aria-pressed="true"><b>{count:,}</b> {name}</button>'
        )


def _css_class(verdict: Verdict) -> str:
    return verdict.value.replace(" ", "-")


def _row(finding: Finding, thumbnail: bytes | None) -> str:
    verdict = finding.verdict
    size = finding.size_bytes
    shown_size = "" if size is None else rough_size(size)
    cells = (
        (f'<span class="verdict {_css_class(verdict)}">{verdict}</span>', _note(finding.reason)),
        (
            _picture(thumbnail),
            f"<b>{_text(_name(finding))}</b>",
            _small(finding.path),
            _small("" if finding.identity == finding.path else finding.identity),
        ),
        (_text(finding.asset_name), _small(finding.event_type)),
        (_text(finding.mime_type),),
        (shown_size,),
        (_digests(finding),),
        (
            _text(finding.scanned_status),
            _small(finding.scanned_bad_reason),
            _time(finding.scanned),
        ),
        (_time(finding.accepted),),
        (_time(finding.checked), *_sources(finding)),
    )
    attributes = {_SIZE_COLUMN: f' class="number" data-key="{-1 if size is None else size}"'}
    shown = "".join(
        f"<td{attributes.get(column, '')}>{''.join(parts)}</td>"
        for column, parts in enumerate(cells)
    )
    return f'<tr data-verdict="{verdict}">{shown}</tr>'


def _name(finding: Finding) -> str:
    return finding.file_name or finding.path.rpartition("/")[2] or "everything"


def _picture(jpeg: bytes | None) -> str:
    if jpeg is None:
        return ""
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'


def _digests(finding: Finding) -> str:
    """Return the digests: one where all who name one agree, else who names which."""
    named = [
        *(("record", digest) for digest in finding.record_sha256),
        ("/info", finding.info_sha256),
        ("bytes", finding.body_sha256),
    ]
    by_digest: dict[str, list[str]] = {}
    for name, digest in named:
        if digest is not None:
            by_digest.setdefault(digest, []).append(name)
    return "".join(
        f"<div><small>{', '.join(dict.fromkeys(names))}</small> <code>{_text(digest)}</code></div>"
        for digest, names in by_digest.items()
    )


def _sources(finding: Finding) -> Iterator[str]:
    """Yield where record, `/info` and bytes came from, and when the server was asked."""
    for name, source, asked in (
        ("record", finding.record_source, finding.record_asked),
        ("/info", finding.info_source, finding.info_asked),
        ("bytes", finding.body_source, ""),
    ):
        if source:
            yield f"<div>{_small(f'{name}: {source}')} {_small(_shown_time(asked))}</div>"


def _note(text: str) -> str:
    return f'<p class="reason">{_text(text)}</p>' if text else ""


def _small(text: str) -> str:
    return f"<small>{_text(text)}</small>" if text else ""


def _time(text: str) -> str:
    """Return a time so that it can be broken between day and hour."""
    return f"<time>{_text(_shown_time(text))}</time>" if text else ""


def _shown_time(text: str) -> str:
    return text.replace("T", " ").removesuffix("Z")


def _text(value: str) -> str:
    """Return a stranger's text so that it stays text, is all seen, and stays in its place."""
    if not value:
        return ""
    shown = "".join(
        f'<span class="invisible">U+{ord(c):04X}</span>' if not c.isprintable() else html.escape(c)
        for c in cut(value, MAX_LINE_CHARS)
    )
    return f"<bdi>{shown}</bdi>"
