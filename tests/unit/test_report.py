"""The report: one offline file, escaped, with a slider a keyboard can move."""

import base64
import hashlib
import re
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from wetgate.color.config import load_config
from wetgate.render.reporting.noise import profiles_of
from wetgate.render.reporting.page import (
    Comparison,
    Profile,
    ReportData,
    Row,
    ShotRow,
    StepFacts,
    Tile,
    render_report,
    write_report,
)
from wetgate.render.reporting.plot import Curve, plot, ticks
from wetgate.render.reporting.preview import data_uri, difference, display, shrink, telling_details

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"
VOID = {"meta", "img", "input", "br", "hr", "link"}


class Page(HTMLParser):
    """An independent reader: tags with attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.inline: dict[str, list[str]] = {"script": [], "style": []}
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"unbalanced {tag}"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.inline:
            self.inline[self.open[-1]].append(data)
        else:
            self.words.append(data)


def picture(value: float = 0.5) -> str:
    return data_uri(np.full((8, 12, 3), value, np.float32), lossless=True)


def everything(text: str) -> ReportData:
    curve = plot([Curve(text, [0, 1, 2], [0.1, 0.2, 0.3])], x_label=text, y_label=text)
    row = Row(
        number=1001,
        status=text,
        status_class="good",
        seconds="1.0",
        changed=0.25,
        provenance=text,
        max_change=text,
        source_digest=text,
        output_digest=text,
        notes=text,
    )
    shot = Comparison(
        number=1001,
        before=picture(0.2),
        after=picture(0.4),
        difference=picture(),
        width=12,
        height=8,
    )
    return ReportData(
        title=text,
        subtitle=text,
        status=text,
        status_class="good",
        version="1.2.3",
        made="today",
        tiles=(Tile(text, text),),
        comparisons=(shot,),
        preview_note=text,
        facts=((text, text),),
        steps=(StepFacts(name=text, note=text, facts=((text, text),)),),
        profiles=(Profile(curve, text),),
        shots=(ShotRow(text, text, text, text),),
        rows=(row,),
        losses=(text,),
        warnings=(text,),
        failures=(text,),
        versions={text: text},
    )


class TestPage:
    def test_hostile_text_stays_text_everywhere(self) -> None:
        page = Page(render_report(everything(HOSTILE)))
        assert page.open == []
        assert [tag for tag, _ in page.tags].count("script") == 1
        assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
        pictures = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
        assert len(pictures) == 3
        assert all(source is not None and source.startswith("data:image/") for source in pictures)
        assert "alert(1)" not in "".join(page.inline["script"])
        # Shown, not swallowed: title, facts, steps, table, lists, plot.
        assert sum(HOSTILE in words for words in page.words) >= 15

    def test_it_asks_the_network_for_nothing(self) -> None:
        text = render_report(everything("plain"))
        page = Page(text)
        assert not any(tag in ("link", "iframe", "object", "base") for tag, _ in page.tags)
        assert not re.search(r"https?://|//[a-z]|@import|url\(", text)

    def test_the_policy_admits_exactly_its_own_style_and_script(self) -> None:
        page = Page(render_report(everything("plain")))
        policy = next(
            str(attrs["content"])
            for tag, attrs in page.tags
            if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
        )
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        for kind in ("style", "script"):
            (inline,) = page.inline[kind]
            digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
            assert f"{kind}-src 'sha256-{digest}'" in policy
        # The policy would refuse these.
        assert not any("style" in attrs for _, attrs in page.tags)

    def test_the_wipe_is_a_slider_with_a_name(self) -> None:
        page = Page(render_report(everything("plain")))
        (slider,) = [attrs for tag, attrs in page.tags if tag == "input"]
        assert slider["type"] == "range"
        assert "1001" in str(slider["aria-label"])
        assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")

    def test_an_empty_job_still_makes_a_page(self, tmp_path: Path) -> None:
        data = ReportData(
            title="t", subtitle="", status="done", status_class="good", version="1", made="now"
        )
        write_report(tmp_path / "report.html", data)
        text = (tmp_path / "report.html").read_text("utf-8")
        assert Page(text).open == []
        assert "passed through, bit for bit" in text
        assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]

    def test_a_name_that_is_not_utf8_is_shown_as_far_as_it_can_be(self, tmp_path: Path) -> None:
        name = b"caf\xe9.1001.dpx".decode("utf-8", "surrogateescape")  # as POSIX hands it over
        write_report(tmp_path / "report.html", everything(name))
        assert "caf?.1001.dpx" in (tmp_path / "report.html").read_text("utf-8")


class TestPreview:
    def test_log_and_linear_of_the_same_light_look_the_same(self) -> None:
        config = load_config()
        log = np.linspace(0.1, 0.9, 60, dtype=np.float32).reshape(4, 5, 3)
        linear = config.processor("cineon", "lin_rec709_scene").apply(log)
        shown = display(log, "Cineon Log - Film Scan", config)
        assert np.abs(shown - display(linear, "lin_rec709_scene", config)).max() < 1e-4
        assert (shown.min(), shown.max()) >= (0.0, 0.5)
        assert shown.max() < 1

    def test_display_pictures_are_shown_as_they_are(self) -> None:
        codes = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 4, 3)
        assert np.array_equal(display(codes, "srgb_rec709_display", load_config()), codes)

    def test_hostile_values_and_single_channels_are_shown(self) -> None:
        wild = np.array([[[np.nan], [np.inf], [-np.inf], [-5.0], [1e9]]], np.float32)
        shown = display(wild, "lin_rec709_scene", load_config())
        assert shown.shape == (1, 5, 3)
        assert np.isfinite(shown).all()

    def test_a_difference_is_amplified_around_gray(self) -> None:
        before = np.full((2, 2, 3), 0.4, np.float32)
        assert difference(before, before, 8) == pytest.approx(0.5)
        assert difference(before, before + np.float32(0.02), 8) == pytest.approx(0.66, abs=1e-5)

    def test_data_uris_hold_the_picture(self) -> None:
        import cv2

        shown = np.random.default_rng(1).random((6, 7, 3), np.float32)
        raw = base64.b64decode(data_uri(shown, lossless=True).split(",")[1])
        decoded = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert np.array_equal(decoded[..., ::-1], (shown * 255 + 0.5).astype(np.uint8))

    def test_shrinking_keeps_small_pictures_and_proportions(self) -> None:
        small = np.zeros((10, 20, 3), np.float32)
        assert shrink(small, 20) is small
        assert shrink(np.zeros((100, 400, 3), np.float32), 200).shape == (50, 200, 3)

    def test_details_find_the_structure(self) -> None:
        after = np.full((200, 300, 3), 0.5, np.float32)
        after[120:180, 200:260:2] = 0.7
        corners = telling_details(after, after, 60)
        x, y = corners[0]
        assert abs(x - 200) <= 30
        assert abs(y - 120) <= 30
        assert len(set(corners)) == 2

    def test_a_picture_one_pixel_wide_has_no_edges(self) -> None:
        narrow = np.full((9, 1, 3), 0.5, np.float32)
        with np.errstate(all="raise"), warnings.catch_warnings():
            warnings.simplefilter("error")
            assert telling_details(narrow, narrow, 60)


class TestPlot:
    @pytest.mark.parametrize(("low", "high"), [(0, 1), (0.03, 0.97), (0, 1023), (-3, 17), (5, 5)])
    def test_ticks_enclose_the_range_with_round_numbers(self, low: float, high: float) -> None:
        marks = ticks(low, high)
        assert marks[0] <= low
        assert marks[-1] >= high
        assert 3 <= len(marks) <= 9

    def test_values_that_are_not_finite_are_left_out(self) -> None:
        svg = plot(
            [Curve("red", [0, 1, float("nan")], [1, float("inf"), 2])], x_label="x", y_label="y"
        )
        assert "nan" not in svg
        assert "inf" not in svg


SHOT = {
    "channels": [{"variance": [1e-4, 0.0, 0.0], "range": [0.1, 0.9]}] * 3,
    "bins": [[[0.5, 0.01, 40]], [], []],
    "spectrum": [[1.0] * 64] * 3,
    "temporal": True,
}


class TestProfiles:
    def test_levels_are_told_in_codes_of_the_file(self) -> None:
        level, spectrum = profiles_of([SHOT], "uint10")
        assert "10-bit code" in level.svg
        # sqrt(1e-4) of 1023 is 10.23: the line is level, so the axis ends at a round 12 or so.
        assert re.search(r">1[0-5]</text>", level.svg)
        assert level.svg.count(" dot") == 1
        assert "cycles/px" in spectrum.svg
        assert "along the motion" in level.caption

    def test_what_is_no_noise_profile_is_passed_over(self) -> None:
        assert profiles_of([{"path": [1, 2]}], "half") == []
        assert len(profiles_of([SHOT] * 9, "half")) == 8
