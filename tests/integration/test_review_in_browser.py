"""The review page in a real browser: an output looked at, judged, and rendered again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from support.browser import Browser, find_chromium
from support.fixed import dpx10, make_fixed
from support.plates import file_digests
from support.reviewed import DIRT, Show, call, make_show, page_url, serving
from wetgate.cli.app import run
from wetgate.model.box import Box
from wetgate.render.fixes.lines import FixLine
from wetgate.render.fixes.restored import open_restored
from wetgate.service.discovery import Home
from wetgate.service.local import call_service

pytestmark = pytest.mark.slow

pytest.importorskip("starlette", reason="the service needs starlette")
pytest.importorskip("uvicorn", reason="the service needs uvicorn")

WIDTH, HEIGHT = 128, 96
HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)<'
PICTURE = "document.querySelector('#picture')"


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Show]:
    find_chromium()
    made = make_show(tmp_path_factory.mktemp("review"))
    with serving(made):
        yield made


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as opened:
        yield opened


def shot(browser: Browser, name: str) -> None:
    """Keep a screenshot where somebody wants to look at it."""
    folder = os.environ.get("WETGATE_SHOTS")
    if folder:
        browser.screenshot(Path(folder) / f"page-test-{name}.png")


def settled(browser: Browser, label: str) -> None:
    """Wait until the picture is what its label says."""
    browser.wait(
        f"{PICTURE}.getAttribute('aria-label') === {json.dumps(label)}"
        " && !document.querySelector('#stage').hasAttribute('aria-busy')"
    )


def ready(browser: Browser, url: str) -> None:
    """Open a shot and wait for its first picture and its fixes."""
    browser.go(url)
    settled(browser, "Frame 1, restored")
    browser.wait("document.querySelectorAll('#fix-list li').length > 0")


def said(browser: Browser) -> list[str]:
    """What the browser complains of, but for the speed of these tests' own reading of pixels."""
    return [text for text in browser.console if "willReadFrequently" not in text]


def pixel(browser: Browser, x: int, y: int) -> list[int]:
    found: list[int] = browser.eval(
        f"Array.from({PICTURE}.getContext('2d').getImageData({x}, {y}, 1, 1).data).slice(0, 3)"
    )
    return found


def go_to_fix(browser: Browser, name: str) -> None:
    for key in "n" * 40 + "p" * 40:
        if browser.text("#fix-name") == name:
            return
        browser.key(key)
        browser.wait("document.querySelector('#fix-name').innerText.length > 0")
    raise AssertionError(f"{name} is not in the list")


def fix_over(show: Show, number: int, box: tuple[int, int, int, int]) -> FixLine:
    """The fix that was made of a piece of dirt."""
    x, y = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
    states = open_restored(show.out).states([number])
    return next(
        fix
        for fix in states[number].fixes.values()
        if fix.pixels and Box(*fix.box).intersect(Box(x, y, x + 1, y + 1)).area == 1
    )


def test_a_fix_is_rejected_and_the_shot_rendered_again(show: Show, browser: Browser) -> None:
    before = file_digests(show.out)
    scan = dpx10(show.plate / "plate.0003.dpx")
    was = dpx10(show.out / "plate.0003.dpx")
    rejected = fix_over(show, 3, DIRT[3][0])
    url, _ = page_url(show)
    port = urlsplit(url).port
    ready(browser, url)
    assert "once" not in browser.eval("location.href")
    shot(browser, "1-loaded")

    for number in (2, 3):
        browser.key("ArrowRight")
        settled(browser, f"Frame {number}, restored")
    assert browser.text("#number") == "3 / 5"

    go_to_fix(browser, rejected.id)
    browser.wait("document.querySelectorAll('#crops img').length === 3")
    settled(browser, "Frame 3, restored")
    browser.key("o")  # no mark over the px that are compared
    assert browser.eval(f"[{PICTURE}.width, {PICTURE}.height]") == [WIDTH, HEIGHT]
    (x0, y0, x1, y1), _ = DIRT[3]
    middle = (y0 + y1) // 2
    repaired = pixel(browser, x0 + 1, middle), pixel(browser, x1 - 1, middle)
    browser.key("w")
    settled(browser, "Frame 3, scan left of the wipe, restored right of it")
    shot(browser, "2-wipe")
    # The wipe stands at half the width, which goes through this very piece of dirt.
    assert x0 + 1 < WIDTH // 2 < x1 - 2
    assert max(pixel(browser, x0 + 1, middle)) < min(repaired[0])
    assert pixel(browser, x1 - 1, middle) == repaired[1]

    browser.key("r")
    browser.wait("document.querySelector('#pending').innerText === '1 verdict to be rendered'")
    verdicts = json.loads((show.out / "decisions.json").read_text())
    assert (verdicts["rejected"], verdicts["accepted"]) == ([rejected.id], [])
    shot(browser, "3-rejected")
    browser.eval("document.activeElement.blur()")
    browser.key("Enter")
    browser.wait("['queued', 'running'].includes(document.querySelector('#state').innerText)")
    shot(browser, "4-rendering")
    browser.wait("document.querySelector('#state').innerText === 'done'", 180)
    browser.wait("document.querySelector('#pending').innerText === ''")
    go_to_fix(browser, rejected.id)
    browser.wait("document.querySelector('#fix-standing').innerText === 'left alone'")
    browser.key("w")
    settled(browser, "Frame 3, restored")
    browser.wait("document.querySelectorAll('#crops img').length === 3")
    shot(browser, "5-rendered-again")
    browser.wait(
        f"Math.max(...{PICTURE}.getContext('2d').getImageData({x0 + 1}, {middle}, 1, 1)"
        f".data.slice(0, 3)) < {min(repaired[0])}"
    )

    now = dpx10(show.out / "plate.0003.dpx")
    left, top, right, bottom = rejected.box
    mine = np.zeros(now.shape[:2], np.bool_)
    mine[top:bottom, left:right] = (was != scan).any(-1)[top:bottom, left:right]
    assert mine.sum() == rejected.pixels > 20
    assert np.array_equal(now[mine], scan[mine])
    assert np.array_equal(now[~mine], was[~mine])
    after = file_digests(show.out)
    frames = [n for n in before if n.endswith(".dpx")]
    assert [n for n in frames if before[n] != after[n]] == ["plate.0003.dpx"]

    asked = {urlsplit(u) for u in browser.requests}
    assert {(u.scheme, u.netloc) for u in asked if u.scheme != "data"} == {
        ("http", f"127.0.0.1:{port}")
    }
    assert any(u.path.endswith("/rerender") for u in asked)
    assert said(browser) == []
    assert browser.connections() == {f"127.0.0.1:{port}"}


def test_views_scopes_and_verdicts_by_keys(show: Show, browser: Browser) -> None:
    ready(browser, page_url(show)[0])
    browser.key("ArrowRight")
    settled(browser, "Frame 2, restored")
    (x0, y0, x1, y1), _ = DIRT[2]
    x, y = (x0 + x1) // 2, (y0 + y1) // 2
    good = pixel(browser, x, y)
    browser.key("b")
    settled(browser, "Frame 2, scan")
    assert max(pixel(browser, x, y)) < min(good)
    browser.key("d")
    settled(browser, "Frame 2, difference")
    assert pixel(browser, 1, 1) == [128, 128, 128]
    assert min(pixel(browser, x, y)) > 200  # the dirt is dark: the result is brighter
    assert "8 times" in browser.text("#caption")
    browser.key("m")
    settled(browser, "Frame 2, matte")
    legend = browser.text("#legend")
    assert "the scan's own bits" in legend
    assert "borrowed from another frame" in legend
    red, green, blue = pixel(browser, x, y)
    assert red > green > blue
    assert len(set(pixel(browser, 1, 1))) == 1
    browser.key("m")
    settled(browser, "Frame 2, restored")
    browser.key("s")
    browser.wait("document.querySelector('#scope-words').innerText.includes('in which dirt works')")
    assert "none below 0" in browser.text("#scope-words")
    shot(browser, "6-scopes")
    browser.key("s")
    assert browser.eval("document.querySelector('#scopes').hidden")

    name = fix_over(show, 2, DIRT[2][1]).id
    go_to_fix(browser, name)
    browser.key("a")
    browser.wait("document.querySelector('#fix-count').innerText.includes('decided')")
    browser.wait(
        "Array.from(document.querySelectorAll('#fix-list li')).some((li) =>"
        f" li.getAttribute('aria-label').includes('{name}')"
        " && li.getAttribute('aria-label').includes('accepted'))"
    )
    accepted = json.loads((show.out / "decisions.json").read_text())["accepted"]
    assert accepted == [name]
    browser.key("u")
    browser.wait(f"document.querySelector('#fix-name').innerText === '{name}'")
    browser.wait("document.querySelector('#fix-verdict').hidden")
    assert json.loads((show.out / "decisions.json").read_text())["accepted"] == []
    browser.key("p")
    browser.wait(f"document.querySelector('#fix-name').innerText !== '{name}'")

    browser.key("?")
    assert browser.eval("document.querySelector('#help').open")
    browser.key("Escape")
    browser.wait(
        "!document.querySelector('#help').open && document.activeElement.tagName === 'BODY'"
    )
    at = browser.text("#number")
    browser.key(" ")
    browser.wait(f"document.querySelector('#number').innerText !== {json.dumps(at)}")
    browser.key(" ")
    browser.wait("document.querySelector('#play').getAttribute('aria-pressed') === 'false'")
    browser.click("[data-view='wipe']")
    browser.wait(
        "document.querySelector('[data-view=wipe]').getAttribute('aria-pressed') === 'true'"
    )
    assert said(browser) == []


def test_a_job_is_watched_from_its_beginning(
    show: Show, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WETGATE_HOME", str(show.home))
    home = Home.of_user()
    asked = {
        "plate": str(show.plate),
        "out": str(tmp_path / "out"),
        "recipe": "denoise",
        "input_space": "ACEScct",
        "label": "reel <4>",
    }
    told = call_service(home, "POST", "/v1/jobs", asked)
    assert told is not None
    job = told["job"]["id"]
    page = call_service(home, "POST", "/v1/page", {"job": job})
    assert page is not None
    browser.go(page["url"])
    browser.wait("document.querySelector('#number').innerText === '1 / 5'")
    assert browser.text("#title") == "reel <4>"
    begun = browser.text("#state") in ("queued", "running")
    if begun:
        browser.key("b")  # the scan is there before any frame is
        settled(browser, "Frame 1, scan")
        browser.key("b")
    browser.wait("document.querySelector('#state').innerText === 'done'", 180)
    settled(browser, "Frame 1, restored")
    assert "ACEScct" in browser.text("#caption")
    browser.key("m")
    browser.wait("document.querySelector('#trouble').innerText.includes('no provenance planes')")
    frames = [n for n in file_digests(tmp_path / "out") if n.endswith(".dpx")]
    assert len(frames) == 5
    assert begun, "the job was over before the page was open; watch a longer one"


def test_everything_has_a_name_and_fits(show: Show, browser: Browser) -> None:
    for width, height in ((1280, 800), (2560, 1400)):
        browser.resize(width, height)
        ready(browser, page_url(show)[0])
        browser.key("n")
        browser.wait("document.querySelectorAll('#crops img').length === 3")
        browser.key("s")
        browser.wait("document.querySelector('#scope-words').innerText.length > 20")
        assert browser.eval("document.documentElement.scrollWidth") <= width
        assert browser.eval("document.documentElement.scrollHeight") <= height
        button = browser.eval(
            "(({ bottom, right }) => [bottom, right])"
            "(document.querySelector('#rerender').getBoundingClientRect())"
        )
        assert button[0] <= height
        assert button[1] <= width
    told = browser.call("Accessibility.getFullAXTree")["nodes"]
    wanted = ("button", "slider", "combobox", "listbox", "option", "image", "link", "img")
    nodes = [n for n in told if n.get("role", {}).get("value") in wanted and not n["ignored"]]
    assert len(nodes) > 15
    assert [n for n in nodes if not n.get("name", {}).get("value", "").strip()] == []
    browser.key("Tab")
    outline = browser.eval("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_hostile_names_stay_text(show: Show, browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE
    shutil.copytree(show.out, folder)
    journal = folder / ".wetgate/fixes.jsonl"
    lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    for line in lines:
        if line["event"] == "fix":
            line |= {"kind": HOSTILE, "why": HOSTILE}
    journal.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    for name in ("job.json", "manifest.json"):
        document = json.loads((folder / ".wetgate" / name).read_text("utf-8"))
        facts = document if name == "job.json" else document["job"]
        facts["source"] = HOSTILE
        (folder / ".wetgate" / name).write_text(json.dumps(document))
    hostile = Show(show.plate, folder, show.home, show.clip)
    ready(browser, page_url(hostile)[0])
    browser.key("n")
    browser.wait("document.querySelectorAll('#crops img').length === 3")
    assert HOSTILE in browser.text("#title")
    assert HOSTILE in browser.text("#fix-facts")
    browser.go(browser.eval("location.origin") + "/review")
    browser.wait("document.querySelectorAll('#job-rows tr').length >= 2")
    assert HOSTILE in browser.text("#jobs")
    shot(browser, "7-jobs")
    assert browser.eval("document.querySelectorAll('script').length") == 1
    assert browser.eval("document.querySelectorAll('img[src=x]').length") == 0
    assert said(browser) == []


def test_an_address_works_once(show: Show, browser: Browser, tmp_path: Path) -> None:
    url, _ = page_url(show)
    ready(browser, url)
    with Browser(tmp_path / "other") as other:
        other.go(url)
        assert "not open to this browser" in other.text("body")
        other.go(url.partition("?")[0])
        assert "not let in" in other.text("body")
    browser.go(url.partition("?")[0])
    browser.wait("document.querySelectorAll('#job-rows tr').length >= 1")


def test_calls_without_the_pages_own_secrets_are_refused(show: Show) -> None:
    url, job = page_url(show)
    parts = urlsplit(url)
    port = int(parts.port or 0)
    own = f"http://127.0.0.1:{port}"
    (let_in,) = call(port, ("GET", f"/review?{parts.query}", {}))
    assert let_in["status"] == 303
    cookie = let_in["headers"]["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    mine = {"Cookie": cookie.partition(";")[0]}
    (page,) = call(port, ("GET", "/review", mine))
    csrf = page["body"].partition('name="wetgate-page" content="')[2].partition('"')[0]
    policy = page["headers"]["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert page["headers"]["cache-control"] == "no-store"
    frames, decide = f"/v1/page/jobs/{job}/frames", f"/v1/page/jobs/{job}/decisions"
    full = mine | {
        "Origin": own,
        "X-Wetgate-Page": csrf,
        "Content-Type": "application/json",
    }
    refused = [
        ("GET", frames, {}),
        ("GET", frames, {"Cookie": "wetgate_page=x"}),
        ("GET", frames, mine | {"Host": f"evil.example:{port}"}),
        ("GET", frames, mine | {"Host": f"127.evil.com:{port}"}),
        ("GET", frames, mine | {"Origin": "null"}),
        ("GET", frames, mine | {"Sec-Fetch-Site": "cross-site"}),
        ("GET", f"/review?{parts.query}", {}),
        ("GET", "/review/page.js", {}),
        ("POST", decide, {k: v for k, v in full.items() if k != "Origin"}),
        ("POST", decide, full | {"Origin": "http://evil.example"}),
        ("POST", decide, full | {"Origin": "null"}),
        ("POST", decide, {k: v for k, v in full.items() if k != "X-Wetgate-Page"}),
        ("POST", decide, full | {"X-Wetgate-Page": csrf[:-1] + "!"}),
        ("POST", decide, {k: v for k, v in full.items() if k != "Cookie"}),
        ("POST", "/v1/page", full),
        ("POST", "/v1/jobs/adopt", full),
        ("GET", "/v1/jobs", mine),
    ]
    answers = call(port, *refused)
    assert [
        (asked, a["status"])
        for asked, a in zip(refused, answers, strict=True)
        if a["status"] != 403
    ] == []
    was = (
        (show.out / "decisions.json").read_bytes()
        if (show.out / "decisions.json").exists()
        else b""
    )
    good, plain, form = call(
        port,
        ("GET", frames, mine),
        ("POST", decide, full),
        ("POST", decide, full | {"Content-Type": "text/plain"}),
    )
    assert good["status"] == 200
    assert (plain["status"], form["status"]) == (422, 400)  # nothing is decided; not JSON
    assert "nothing is decided" in plain["body"]
    now = (
        (show.out / "decisions.json").read_bytes()
        if (show.out / "decisions.json").exists()
        else b""
    )
    assert now == was
    base = f"/v1/page/jobs/{job}/frames"
    wrong = [
        (f"{base}/1/view?kind=../secret", 422),
        (f"{base}/1/view?width=1e9", 400),
        (f"{base}/1/view?width=99999", 422),
        (f"{base}/1/view?kind=difference&gain=nan", 422),
        (f"{base}/999/view", 422),
        (f"{base}/one/view", 400),
        (f"{base}/1/scopes?kind=matte", 422),
        (f"/v1/page/jobs/{job}/fixes?order=price", 422),
        (f"/v1/page/jobs/{job}/fixes/dirt-9-9-9", 422),
        ("/v1/page/jobs/nobody/frames", 404),
        ("/review/page.html.j2", 404),
        ("/review/..%2f..%2fstate.py", 404),
    ]
    answers = call(port, *(("GET", path, mine) for path, _ in wrong))
    assert [(path, a["status"]) for (path, _), a in zip(wrong, answers, strict=True)] == wrong


def test_a_page_is_opened_for_outputs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WETGATE_HOME", str(tmp_path / "home"))
    made = make_fixed(tmp_path, [1001], each=2)
    assert run(["review", str(made.plate), "--open"]) == 3
    assert run(["review", str(made.out), "--open", "--out", str(tmp_path / "page.html")]) == 2
    assert "of the offline page" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()  # no service was started for it
