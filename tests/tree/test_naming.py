"""The names of the view by-name/, whatever strangers call things."""

import random
import time
import unicodedata
from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attachfs.archive.attachments import Attachment
from attachfs.tree.names import ASSET_RECORD, EVENT_RECORD, EVENTS, SIDECAR_SUFFIX, SUMS
from attachfs.tree.naming import (
    attachment_names,
    directory_name,
    event_label,
    sanitised,
    short_id,
    short_id_of,
)
from tests.support.archives import ASSET, ATTACHMENT, OTHER

_NOON_NS = 1_717_243_200_000_000_000  # 2024-06-01T12:00:00Z
_SHORT, _OTHER_SHORT = "b33333333333", "c44444444444"
_TWIN = "b3333333-3333-7333-8333-333333333333"  # shares the short id of ATTACHMENT
_FAMILY = "\U0001f468\u200d\U0001f469"

_ANY = st.characters(exclude_categories=())  # surrogates, too
_HOSTILE = st.one_of(
    st.text(_ANY),
    st.text(st.sampled_from("a.~-/\\ \0\n\x1b\u202e\u200d\ud800\u0301\u0316\U0001d160é漢")),
    st.builds(lambda text, times: text * times, st.text(_ANY, min_size=1, max_size=4),
              st.integers(200, 1024)),
    st.builds("{}.{}".format, st.text(_ANY, min_size=230, max_size=260), st.text(max_size=18)),
)  # fmt: skip
_UUIDS = st.uuids().map(str)


def _attachment(
    file_name: str = "", uuid: str = ATTACHMENT, display_name: str = "", key: str = ""
) -> Attachment:
    return Attachment(uuid, key, file_name, display_name, ())


def _name(file_name: str = "", display_name: str = "", key: str = "") -> str:
    (name,) = attachment_names([_attachment(file_name, ATTACHMENT, display_name, key)]).values()
    return name


def _is_safe(name: str, most_bytes: int) -> bool:
    return (
        0 < len(name.encode()) <= most_bytes
        and name not in {".", ".."}
        and name[0] not in ".-"
        and name == name.strip() == unicodedata.normalize("NFC", name)
        and not any(c in "/\\" or unicodedata.category(c) in {"Cc", "Cf", "Cs"} for c in name)
        and not any(c.isspace() and c != " " for c in name)
    )


@st.composite
def _directories(draw: st.DrawFn) -> list[Attachment]:
    # Few texts, and names that look as if ids had been added to them: they collide often.
    twins = st.integers(0, 3).map(lambda n: f"{ATTACHMENT[:-1]}{n}")
    uuids = draw(st.lists(twins | _UUIDS, min_size=1, max_size=6, unique=True))
    ids = st.sampled_from([*uuids, *map(short_id, uuids)])
    end = st.sampled_from(["", ".txt"])
    stem = st.sampled_from(["a", "x" * 232, "x" * 250, "é" * 140])
    tagged = st.builds("{}~{}{}".format, stem | st.builds("a~{}".format, ids), ids, end)
    text = st.builds("{}{}".format, stem, end) | tagged | ids
    if draw(st.booleans()):
        text |= st.sampled_from(["", EVENTS, ASSET_RECORD, f"a{SIDECAR_SUFFIX}"]) | _HOSTILE
    return [_attachment(draw(text), uuid, draw(text), draw(text)) for uuid in uuids]


def test_a_short_id_is_how_a_uuid_begins() -> None:
    """Twelve digits, without dashes."""
    assert short_id("0194b168-bac0-75e6-bbc4-a47cc45bdbf5") == "0194b168bac0"


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("Front door", "Front door"),
        ("", "unnamed"),
        (" \n\0\u202e ", "unnamed"),
        (".", "unnamed"),
        ("..", "unnamed"),
        ("...", "unnamed"),
        ("../../etc/passwd", "_.._.._etc_passwd"),
        ("AC/DC", "AC_DC"),
        (r"AC\DC", "AC_DC"),
        (".hidden", "_.hidden"),
        ("-rf", "_-rf"),
        ("a~b", "a~b"),
        ("  a \t\r\n  b\u00a0\u2028c\x85", "a b c"),
        ("\x1b[31mred", "[31mred"),
        ("cod\u202efdp.exe", "codfdp.exe"),
        ("\ufeffa\u200bb\u00adc", "abc"),
        (_FAMILY, _FAMILY.replace("\u200d", "")),
        ("caf\udce9", "caf_"),
        ("cafe\u0301", "caf\u00e9"),
        ("e\0\u0301", "\u00e9"),
        ("K\u0131r\u0131k \u7535\u68af", "K\u0131r\u0131k \u7535\u68af"),
    ],
)
def test_a_directory_has_a_label_and_a_short_id(label: str, expected: str) -> None:
    """The label is kept where it can be seen, typed and harms nobody."""
    assert directory_name(label, ATTACHMENT) == f"{expected}~{_SHORT}"


def test_a_long_label_is_cut_between_characters() -> None:
    """The id stays whole, and no white space is left before it."""
    assert directory_name("é" * 4096, ATTACHMENT) == f"{'é' * 121}~{_SHORT}"
    assert directory_name("漢" * 4096, ATTACHMENT) == f"{'漢' * 80}~{_SHORT}"
    assert directory_name("x" * 241 + " y", ATTACHMENT) == f"{'x' * 241}~{_SHORT}"
    assert directory_name("x" * 242, ATTACHMENT) == f"{'x' * 242}~{_SHORT}"


@pytest.mark.parametrize(
    ("accepted_ns", "display_type", "expected"),
    [
        (_NOON_NS, "Inspection", "2024-06-01T12:00:00Z Inspection"),
        (_NOON_NS + 999_999_999, "Inspection", "2024-06-01T12:00:00Z Inspection"),
        (_NOON_NS, "", "2024-06-01T12:00:00Z"),
        (_NOON_NS, " \n", "2024-06-01T12:00:00Z"),
        (_NOON_NS, "in/out\x1b[2J", "2024-06-01T12:00:00Z in_out[2J"),
        (0, "Inspection", "undated Inspection"),
        (0, "2024-06-01T12:00:00Z", "undated 2024-06-01T12:00:00Z"),
        (0, "", "undated"),
        (1, "", "1970-01-01T00:00:00Z"),
        (2**33 * 10**9 - 1, "", "2242-03-16T12:56:31Z"),
    ],
)
def test_an_event_is_called_by_its_time_and_type(
    accepted_ns: int, display_type: str, expected: str
) -> None:
    """Without a time it says so: a type never passes for one."""
    assert event_label(accepted_ns, display_type) == expected


@pytest.mark.parametrize(
    "name",
    ["", "~", _SHORT, f"~{_SHORT}", f"a~{_SHORT[:-1]}", f"a~{_SHORT}0", f"a~{_SHORT.upper()}",
     f"a~{ATTACHMENT}", f"a-{_SHORT}", f"a~{_SHORT}\n", f"a\n~{_SHORT}", f" a~{_SHORT}",
     f"a ~{_SHORT}", f".~{_SHORT}", f"..~{_SHORT}", f".a~{_SHORT}", f"a/b~{_SHORT}",
     f"e\u0301~{_SHORT}", f"\udce9~{_SHORT}", f"{'x' * 243}~{_SHORT}", "a~١٢٣٤٥٦٧٨٩٠١٢",
     ATTACHMENT],
)  # fmt: skip
def test_no_other_name_has_a_short_id(name: str) -> None:
    """What no label can become needs no request to be refused."""
    assert short_id_of(name) is None


@given(label=_HOSTILE, uuid=_UUIDS)
def test_a_directory_tells_its_short_id(label: str, uuid: str) -> None:
    """Whatever the label, the name is safe and leads back."""
    name = directory_name(label, uuid)
    assert _is_safe(name, 255)
    assert short_id_of(name) == short_id(uuid)


@given(accepted_ns=st.integers(0, 2**33 * 10**9 - 1), display_type=_HOSTILE)
def test_an_event_label_is_safe_as_it_is(accepted_ns: int, display_type: str) -> None:
    """The directory is named by nothing less than the label."""
    label = event_label(accepted_ns, display_type)
    assert _is_safe(label, 242)
    assert directory_name(label, ASSET) == f"{label}~{short_id(ASSET)}"


@given(name=_HOSTILE)
def test_only_names_that_can_be_made_have_a_short_id(name: str) -> None:
    """A name with a short id is that of its own label."""
    made = f"{name}~{_SHORT}"
    assert short_id_of(made) in {None, _SHORT}
    assert (short_id_of(made) == _SHORT) == (directory_name(name, ATTACHMENT) == made and name > "")


@given(text=_HOSTILE, most_bytes=st.sampled_from([242, 245]))
@example(text="\U0001d160" * 1024, most_bytes=242)
def test_sanitising_again_changes_nothing(text: str, most_bytes: int) -> None:
    """What is fit to be a name stays as it is."""
    once = sanitised(text, most_bytes)
    assert once == "" or _is_safe(once, most_bytes)
    assert sanitised(once, most_bytes) == once


def test_a_huge_text_takes_no_time() -> None:
    """Normalising all of these accents would take a minute."""
    began = time.process_time()
    assert sanitised("a" + "\u0301\u0316" * 2**17 + ".pdf").endswith(".pdf")
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("file_name", "display_name", "key", "expected"),
    [
        ("proof.pdf", "Proof", "key", "proof.pdf"),
        ("", "Proof", "key", "Proof"),
        ("\0", "\n", "key", "key"),
        ("..", ".", "key", "key"),
        ("a/..", "", "key", "key"),
        ("", "", "", ATTACHMENT),
        ("/", "\u202e", "..", ATTACHMENT),
        ("../../x", "", "", "x"),
        (r"C:\x\y.pdf", "", "", "y.pdf"),
        ("scans/", "", "", "scans"),
        ("", "Invoice 3/4", "key", "Invoice 3_4"),
        ("", "", "functests/doors/assets/entry_terminal_jpg", "entry_terminal_jpg"),
        (".gitignore", "", "", "_.gitignore"),
        ("-rf", "", "", "_-rf"),
        ("a" + " " * 300 + ".exe", "", "", "a .exe"),
        ("a\n\x1b]0;b\u202e\udcff.pdf", "", "", "a ]0;b_.pdf"),
        ("Re\u0301sume\u0301.pdf", "", "", "R\u00e9sum\u00e9.pdf"),
        ("sha256sums", "", "", "sha256sums"),
        (f"a~{_SHORT}.txt", "", "", f"a~{_SHORT}.txt"),
    ],
)
def test_an_attachment_has_the_first_name_people_gave_it(
    file_name: str, display_name: str, key: str, expected: str
) -> None:
    """Of paths the last part, of prose all words; the UUID where there is nothing to see."""
    assert _name(file_name, display_name, key) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x" * 245, "x" * 245),
        ("x" * 4096, "x" * 245),
        ("x" * 4096 + ".pdf", "x" * 241 + ".pdf"),
        ("é" * 4096 + ".pdf", "é" * 120 + ".pdf"),
        ("é" * 4096 + ".документ", "é" * 114 + ".документ"),
        ("x" * 240 + " y.pdf", "x" * 240 + ".pdf"),
        ("x" * 4096 + ".", "x" * 245),
        ("v1. " + "x" * 4096, "v1. " + "x" * 241),
        ("x" * 4096 + "." + "y" * 16, "x" * 228 + "." + "y" * 16),
        ("x" * 4096 + "." + "y" * 17, "x" * 245),
    ],
)
def test_a_long_name_is_cut_before_its_extension(name: str, expected: str) -> None:
    """The sidecar's name fits, too."""
    assert _name(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("events", f"events~{_SHORT}"),
        ("SHA256SUMS", f"SHA256SUMS~{_SHORT}"),
        ("asset.json", f"asset~{_SHORT}.json"),
        ("event.json", f"event~{_SHORT}.json"),
        ("asset\0.json ", f"asset~{_SHORT}.json"),
        ("a.pdf.info.json", f"a.pdf.info~{_SHORT}.json"),
        (".info.json", f"_.info~{_SHORT}.json"),
        ("x" * 235 + ".infoxxxxx.json", "x" * 227 + f"~{_SHORT}.json"),
    ],
)
def test_a_reserved_name_carries_the_short_id(name: str, expected: str) -> None:
    """Also one that is reserved only once it has been cut."""
    assert _name(name) == expected


def test_all_that_collide_carry_their_short_ids() -> None:
    """Nobody keeps the name, and who has another is left in peace; case tells names apart."""
    names = attachment_names(
        [_attachment("a.txt"), _attachment("x/a\0.txt", OTHER), _attachment("A.txt", ASSET)]
    )
    expected = {ATTACHMENT: f"a~{_SHORT}.txt", OTHER: f"a~{_OTHER_SHORT}.txt", ASSET: "A.txt"}
    assert names == expected


def test_names_that_differ_in_normalisation_collide() -> None:
    """They look the same, so ids tell them apart."""
    names = attachment_names([_attachment("\u00e9"), _attachment("e\u0301", OTHER)])
    assert names == {ATTACHMENT: f"\u00e9~{_SHORT}", OTHER: f"\u00e9~{_OTHER_SHORT}"}


def test_a_name_that_another_has_with_its_id_carries_its_own() -> None:
    """It would be taken for that file, be it there by now or not."""
    literal = _attachment(f"a~{_SHORT}.txt", OTHER)
    expected = f"a~{_SHORT}~{_OTHER_SHORT}.txt"
    twice = [_attachment("a.txt"), literal, _attachment("a.txt", ASSET)]
    assert attachment_names(twice)[ATTACHMENT] == f"a~{_SHORT}.txt"
    assert attachment_names(twice)[OTHER] == expected
    assert attachment_names(twice[:2]) == {ATTACHMENT: "a.txt", OTHER: expected}


def test_a_name_that_nobody_else_may_have_is_kept() -> None:
    """That it looks like one with an id is no collision."""
    names = attachment_names([_attachment("a.txt"), _attachment("a~1234567890ab.txt", OTHER)])
    assert names == {ATTACHMENT: "a.txt", OTHER: "a~1234567890ab.txt"}


def test_where_short_ids_collide_the_whole_uuid_is_carried() -> None:
    """Two of one millisecond may have one name."""
    twins = [_attachment("a.txt"), _attachment("a.txt", _TWIN)]
    expected = {ATTACHMENT: f"a~{ATTACHMENT}.txt", _TWIN: f"a~{_TWIN}.txt"}
    assert attachment_names(twins) == expected
    names = attachment_names([*twins, _attachment(f"a~{_TWIN}.txt", OTHER)])
    assert names == {**expected, OTHER: f"a~{_TWIN}~{_OTHER_SHORT}.txt"}


def test_a_name_may_be_the_uuid_of_another() -> None:
    """Then neither is called by it alone."""
    names = attachment_names([_attachment(), _attachment(ATTACHMENT, OTHER)])
    expected = {ATTACHMENT: f"{ATTACHMENT}~{_SHORT}", OTHER: f"{ATTACHMENT}~{_OTHER_SHORT}"}
    assert names == expected


def test_no_attachments_have_no_names() -> None:
    """An empty directory is none to worry about."""
    assert attachment_names([]) == {}


@given(attachments=_directories(), randomness=st.randoms())
def test_names_are_safe_and_unique_in_any_order(
    attachments: Sequence[Attachment], randomness: random.Random
) -> None:
    """No two files, no file and no sidecar, and nothing reserved share a name."""
    names = attachment_names(attachments)
    assert list(names) == [attachment.id for attachment in attachments]
    assert all(_is_safe(name, 245) for name in names.values())
    assert not any(name.endswith(SIDECAR_SUFFIX) for name in names.values())
    reserved = [EVENTS, SUMS, ASSET_RECORD, EVENT_RECORD]
    sidecars = [name + SIDECAR_SUFFIX for name in names.values()]
    everything = [*reserved, *names.values(), *sidecars]
    assert len(set(everything)) == len(everything)
    shuffled = list(attachments)
    randomness.shuffle(shuffled)
    assert attachment_names(shuffled) == names


@given(uuids=st.lists(st.uuids(), min_size=2, max_size=5, unique=True), name=_HOSTILE)
def test_namesakes_all_carry_an_id(uuids: list[UUID], name: str) -> None:
    """By its name each can be told apart, today and tomorrow."""
    named = [_attachment(name, str(uuid), "namesake") for uuid in uuids]
    for uuid, given_name in attachment_names(named).items():
        assert f"~{short_id(uuid)}" in given_name or f"~{uuid}" in given_name
