"""The review page: offline, escaped, ranked by doubt, with crops of what was really done."""

from __future__ import annotations

import base64
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.fixed import FixedOut, make_fixed
from wetgate.model.errors import InputError
from wetgate.render.fixes.restored import open_restored
from wetgate.render.fixes.revert import Request, change_fixes
from wetgate.render.fixes.verdicts import Verdicts, save_verdicts
from wetgate.render.reporting.crops import LONGEST, crop_box, stretched
from wetgate.render.reporting.fixes import SHEET, fixes_section
from wetgate.render.reporting.page import ReportData, render_report
from wetgate.render.reporting.review import counts_by_kind, write_review

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
VOID = {"meta", "img", "input", "br", "hr", "link"}


class Reader(HTMLParser):
    """Tags with attributes, text by the tag it stands in, and whether all tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self.open[-1] if self.open else "", []).append(data)

    def cards(self) -> list[dict[str, str | None]]:
        return [a for tag, a in self.tags if tag == "article"]


def page_of(made: FixedOut, **options: object) -> Reader:
    path, _ = write_review(made.out, **options)  # type: ignore[arg-type]
    return Reader(path.read_text("utf-8"))


def picture(uri: str | None) -> np.ndarray:
    assert uri is not None
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))[..., ::-1]


def test_the_page_needs_nothing_and_admits_nothing(tmp_path: Path) -> None:
    page = page_of(make_fixed(tmp_path, [1001]))
    assert page.open == []
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "form", "base")
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert (attributes.get("src") or "data:").startswith("data:image/png;base64,") or (
            "src" not in attributes
        )
        assert "href" not in attributes
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        (text,) = page.text[kind]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_the_most_doubtful_come_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001, 1002])
    fixes = open_restored(made.out).all_fixes()
    page = page_of(made, most=15)
    shown = [str(card["data-id"]) for card in page.cards()]
    doubts = [abs(fixes[name].confidence - 0.5) for name in shown]
    assert doubts == sorted(doubts)
    assert len(shown) == 15
    assert max(doubts) <= min(abs(f.confidence - 0.5) for n, f in fixes.items() if n not in shown)
    assert f"15 of {len(fixes)}" in " ".join(page.text["p"])


def test_the_crops_show_scan_and_output(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    fixes = open_restored(made.out).all_fixes()
    path, data = write_review(made.out)
    assert data.trouble == ()
    page = Reader(path.read_text("utf-8"))
    uris = [a["src"] for tag, a in page.tags if tag == "img"]
    scan, result = made.scan(1001), made.result(1001)
    for at, card in enumerate(data.cards):
        box = crop_box(fixes[card.id], (64, 96))
        before, after, matte = (picture(uri) for uri in uris[3 * at : 3 * at + 3])
        assert before.shape == after.shape == matte.shape == (box.height, box.width, 3)
        area = (slice(box.y0, box.y1), slice(box.x0, box.x1))
        # Undecided colors are shown as they are, but for the stretch: order is kept.
        for shown, codes in ((before, scan[area]), (after, result[area])):
            place = np.argsort(codes[..., 1].reshape(-1), kind="stable")
            assert (np.diff(shown[..., 1].reshape(-1)[place].astype(int)) >= 0).all()
        own = np.zeros((64, 96), bool)
        if card.id in made.pixels:
            own[made.pixels[card.id]] = True
            colored = matte[..., 0] != matte[..., 2]
            assert np.array_equal(colored, own[area])
        else:
            assert set(np.unique(matte)) <= {0, 128}


@pytest.mark.parametrize("loss", ["scan", "frame", "tiles", "changed"])
def test_what_is_lost_is_said_and_the_rest_is_shown(tmp_path: Path, loss: str) -> None:
    made = make_fixed(tmp_path, [1001, 1002])
    if loss == "scan":
        made.plate.rename(tmp_path / "vault")
    elif loss == "frame":
        (made.out / made.name(1001)).unlink()
    elif loss == "changed":
        with open(made.plate / made.name(1001), "ab") as file:
            file.write(b"x")
    else:
        next((made.out / ".wetgate/fixes").glob("1001-*")).unlink()
    _, data = write_review(made.out)
    assert len(data.trouble) == 1
    with_pictures = {card.frame for card in data.cards if card.picture is not None}
    assert with_pictures == ({1002} if loss == "tiles" else {1001, 1002})
    notes = {c.frame: c.picture.note for c in data.cards if c.picture and c.id in made.pixels}
    alone = {n for n, note in notes.items() if "tile data alone" in note}
    assert alone == {"scan": {1001, 1002}, "tiles": set()}.get(loss, {1001})


def test_a_moved_scan_may_be_named(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    made.plate.rename(tmp_path / "vault")
    _, data = write_review(made.out, plate=str(tmp_path / "vault"))
    assert data.trouble == ()


def test_names_from_elsewhere_stay_text(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001], each=3)
    journal = made.out / ".wetgate/fixes.jsonl"
    lines = [json.loads(text) for text in journal.read_text().splitlines()]
    for line in lines:
        if line["event"] == "fix":
            line |= {"kind": HOSTILE, "why": HOSTILE, "operator": HOSTILE}
            line["id"] = HOSTILE + line["id"]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = made.out / ".wetgate/manifest.json"
    document = json.loads(manifest.read_text())
    document["job"]["source"] = HOSTILE
    document["job"]["call"]["plate"] = HOSTILE
    manifest.write_text(json.dumps(document))
    page = page_of(made)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert all(a.get("src", "data:") != "x" for _, a in page.tags)
    assert page.text["h1"] == [HOSTILE]
    assert HOSTILE in page.text["dd"][0] or any(HOSTILE in t for t in page.text["dd"])
    assert {card["data-kind"] for card in page.cards()} == {HOSTILE}
    section, _ = fixes_section(made.out, [1001], 96 * 64)
    report = Reader(
        render_report(
            ReportData(
                title="t",
                subtitle="",
                status="",
                status_class="good",
                version="0",
                made="",
                fixes=section,
            )
        )
    )
    assert [tag for tag, _ in report.tags].count("script") == 1
    assert HOSTILE in report.text["td"]


def test_verdicts_are_taken_along(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    names = [str(card["data-id"]) for card in page_of(made).cards()]
    save_verdicts(
        made.out / "decisions.json",
        Verdicts(accepted=frozenset({names[0]}), rejected=frozenset({names[1], "dirt-9-9-9"})),
    )
    page = page_of(made)
    verdicts = {c["data-id"]: c["data-verdict"] for c in page.cards() if c["data-verdict"]}
    assert verdicts == {names[0]: "accepted", names[1]: "rejected"}
    others = [(a["data-other"], a["data-verdict"]) for _, a in page.tags if "data-other" in a]
    assert others == [("dirt-9-9-9", "rejected")]


def test_what_was_taken_back_is_shown_as_such(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    name = sorted(made.pixels)[0]
    change_fixes(made.out, Request(ids=[name]))
    states = {str(c["data-id"]): c["data-state"] for c in page_of(made).cards()}
    assert states[name] == "reverted"
    assert {n for n, state in states.items() if state == "applied"} == set(made.pixels) - {name}


def test_the_report_counts_by_kind_and_shows_the_most_doubtful(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001, 1002])
    name = sorted(made.pixels)[0]
    change_fixes(made.out, Request(ids=[name]))
    section, trouble = fixes_section(made.out, [1001, 1002], 96 * 64)
    assert section is not None
    assert trouble == ()
    changed = sum((made.result(n) != made.scan(n)).any(-1).sum() for n in (1001, 1002))
    total = section.rows[-1]
    fixes = open_restored(made.out).all_fixes()
    assert (total.found, total.repaired) == (str(len(fixes)), str(len(made.pixels) - 1))
    assert (total.reverted, total.pixels) == ("1", str(changed))
    assert int(total.left) == len(fixes) - len(made.pixels)
    assert len(section.sheet) == SHEET
    doubts = [abs(fixes[item.id].confidence - 0.5) for item in section.sheet]
    assert doubts == sorted(doubts)
    assert [c.kind for c in counts_by_kind(open_restored(made.out).states())] == ["dust"]
    only, _ = fixes_section(made.out, [1002], 96 * 64)
    assert only is not None
    assert int(only.rows[-1].found) == sum(f.frame == 1002 for f in fixes.values())


def test_nothing_found_is_said(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001])
    (made.out / ".wetgate/fixes.jsonl").write_bytes(b"")
    with pytest.raises(InputError, match="nothing to review"):
        write_review(made.out)
    assert fixes_section(made.out, [1001], 1) == (None, ())


def test_a_stretch_is_the_same_for_both_and_leaves_contrast_alone() -> None:
    flat = np.full((8, 8, 3), 0.4, np.float32)
    other = flat.copy()
    other[2, 2] = 0.44
    (before, after), gain = stretched((flat, other))
    assert gain == 8.0
    assert float(after[2, 2, 0] - before[2, 2, 0]) == pytest.approx(0.04 * gain, abs=1e-5)
    wide = np.linspace(0, 1, 192, dtype=np.float32).reshape(8, 8, 3)
    same, gain = stretched((wide, wide))
    assert gain == 1.0
    assert same[0] is wide


def test_a_long_scratch_is_shown_about_its_anchor(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001], each=1)
    (fix,) = (f for f in open_restored(made.out).all_fixes().values() if f.pixels)
    from dataclasses import replace

    long = replace(fix, box=(40, 0, 44, 2000), anchor=(41, 1500))
    box = crop_box(long, (2000, 3000))
    assert box.height == LONGEST
    assert box.y0 <= 1500 < box.y1
    assert box.x0 <= 40 < 44 <= box.x1
    top = crop_box(replace(long, anchor=(41, 0)), (2000, 3000))
    assert (top.y0, top.y1) == (0, LONGEST - 20)
