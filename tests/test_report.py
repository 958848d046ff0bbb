"""`cnnsearch report` in a real browser: headless Chromium opens the file that the verb wrote."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from cnnsearch import cli
from cnnsearch.records import (
    LayerProbe,
    Outcome,
    Prepared,
    Probe,
    State,
)
from cnnsearch.report.markup import script_data, tag
from tests.studies import SPACE, Told, curve, ended, multiply, point, write_study

CHROMIUM = shutil.which("chromium")
IMG = "<img src=x onerror=window.hacked=1>"
SCRIPT = "</script><script>window.hacked=1</script>"
HOSTILE = f"{IMG}{SCRIPT}<!--\u2028\"'`&"
INIT = LayerProbe("conv1", 8, 0.0, 0.5, 0.25, None, 0.1)
TRAINED = replace(INIT, std=0.7, gradient_norm=0.01, update_ratio=1e-3)
PREPARED = Prepared("cpu", 10, 12345, 180, 20, 0.1, Probe(2.31, (INIT,)))


def trained(value: float, lr: float, init: str = "he", epochs: int = 3) -> Told:
    """A complete trial whose layers were measured."""
    probe = Probe(1.0, (TRAINED,), 2.0, 0.1)
    probed = tuple(replace(epoch, probe=probe) for epoch in curve(value, epochs))
    return Told(point(lr, init), Outcome(State.COMPLETE), probed, prepared=PREPARED)


def lost(lr: float, reason: str = "loss 21.34 above 6.908 at step 40") -> Told:
    """A diverged trial without an epoch."""
    return ended(State.DIVERGED, reason, point(lr), step=40, loss=21.34, limit=6.908)


NINE = (
    *(trained(value, lr) for value, lr in ((0.90, 0.01), (0.95, 0.1), (0.85, 0.0004))),
    *(trained(value, lr, "normal:0.01") for value, lr in ((0.5, 0.02), (0.6, 0.03), (0.7, 0.04))),
    trained(0.65, 0.05),
    lost(8.5),
    ended(State.FAILED, "RuntimeError: no", point(0.3), traceback="Traceback\n  x", where="n.py:7"),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all; as root it has no sandbox of its own."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield found
        found.close()


@dataclass
class Opened:
    """A page, and what it should not have done."""

    page: Page
    wrong: list[str] = field(default_factory=list)

    def cells(self, name: str) -> list[str]:
        """A column of the table of trials, of the rows that are shown."""
        header = f"th[data-column='{name}']"
        place = self.page.eval_on_selector(header, "cell => cell.cellIndex")
        code = (
            "(rows, place) =>"
            " rows.filter(row => !row.hidden).map(row => row.cells[place].innerText)"
        )
        found: list[str] = self.page.eval_on_selector_all("tr[data-row]", code, place)
        return [cell.strip() for cell in found]

    def traces(self, kind: str, panel: str = "") -> list[Any]:
        """What a figure shows, as plotly has it."""
        plot = self.page.locator(f"{panel}[data-figure='{kind}']").first
        plot.scroll_into_view_if_needed()
        self.page.wait_for_function("plot => plot.data !== undefined", arg=plot.element_handle())
        found: list[Any] = plot.evaluate("plot => JSON.parse(JSON.stringify(plot.data))")
        return found

    def names(self, kind: str) -> list[str]:
        """Names of a figure's traces that stand in its legend."""
        return [one["name"] for one in self.traces(kind) if one.get("showlegend") is not False]

    def tab(self, panel: str) -> None:
        """Turn to a tab, and wait for it: the page turns only after the click has ended."""
        self.page.click(f"#tab-{panel}")
        self.page.wait_for_selector(f"#{panel}", state="visible")

    def filter(self, text: str, count: str) -> None:
        """Write into the filter, and wait for the count of trials below it."""
        self.page.fill(".filter", text)
        self.page.wait_for_function(
            "text => document.querySelector('.count').textContent === text", arg=count
        )

    def draw_all(self) -> None:
        """Bring every figure into view."""
        for plot in self.page.locator(".plot:visible").all():
            plot.scroll_into_view_if_needed()
            self.page.wait_for_function(
                "plot => plot.querySelector('.main-svg') !== null", arg=plot.element_handle()
            )


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Open a file; at the end nothing may have gone wrong on any page."""
    opened: list[Opened] = []

    def run(path: Path, width: int = 1280) -> Opened:
        opened.append(open_page(browser, path, width))
        return opened[-1]

    yield run
    for one in opened:
        one.page.close()
        assert one.wrong == []


def open_page(browser: Browser, path: Path, width: int = 1280) -> Opened:
    """A file in a window of its own."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(120_000)  # a loaded machine reads plotly for many seconds
    found = Opened(page)
    page.on("console", lambda message: found.wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: found.wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: found.wrong.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: _note(found, request.url, path))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-drawn]")
    return found


def _note(found: Opened, url: str, path: Path) -> None:
    if url.partition("#")[0] != path.as_uri() and not url.startswith(("data:", "blob:")):
        found.wrong.append(f"request: {url}")


def write(storage: Path, *words: str) -> Path:
    """The page that the verb writes beside the storage."""
    path = storage.with_suffix(".html")
    assert cli.run(["report", *words, "-o", str(path), "--force", "--storage", str(storage)]) == 0
    return path


@pytest.fixture(scope="module")
def nine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with `digits`, see `NINE`."""
    path = tmp_path_factory.mktemp("report") / "studies.db"
    write_study(path, told=NINE)
    write_study(path, "other", (trained(0.8, 0.01), trained(0.7, 0.02)))
    return path


@pytest.fixture(scope="module")
def digits(nine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of `digits`."""
    path = tmp_path_factory.mktemp("page") / "digits.html"
    assert cli.run(["report", "digits", "-o", str(path), "--storage", str(nine)]) == 0
    return path


@pytest.fixture(scope="module")
def desk(browser: Browser, digits: Path) -> Iterator[Opened]:
    """That page in one window, as plotly takes a second to be read."""
    found = open_page(browser, digits)
    yield found
    found.page.close()


@pytest.fixture
def opened(desk: Opened) -> Iterator[Opened]:
    """The same window as it was at first; nothing may go wrong in it."""
    desk.page.evaluate("scrollTo(0, 0)")
    for box in desk.page.locator(".state input").all():
        box.check()
    desk.filter("", "all 9 trials")
    desk.page.select_option(".measure", "val_accuracy")
    desk.page.click("button.best")
    yield desk
    assert desk.wrong == []


@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_without_a_network_and_fits_the_window(
    opened: Opened, digits: Path, width: int
) -> None:
    opened.page.set_viewport_size({"width": width, "height": 900})
    opened.draw_all()
    assert opened.page.inner_text("h1") == "digits"
    hero = opened.page.inner_text(".hero")
    assert "0.9500" in hero
    assert "trial 1" in hero
    assert "lr\n0.1" in hero
    scroll, window = opened.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    opened.page.set_viewport_size({"width": 1280, "height": 900})
    assert scroll <= window


def test_the_policy_allows_nothing_else(opened: Opened) -> None:
    """Scripts that are put in do not run, and nothing is fetched: the browser itself says so."""
    opened.page.evaluate(
        "() => { const script = document.createElement('script');"
        "script.textContent = 'window.hacked = 1'; document.body.append(script); }"
    )
    fetched = opened.page.evaluate(
        "fetch('https://example.org').then(() => 'sent', () => 'refused')"
    )
    assert fetched == "refused"
    assert opened.page.evaluate("window.hacked") is None
    assert len(opened.wrong) >= 2
    assert all("Content Security Policy" in text for text in opened.wrong)
    opened.wrong.clear()


def test_a_header_sorts(opened: Opened) -> None:
    assert opened.cells("value")[:2] == ["0.9500", "0.9000"]
    opened.page.click("th[data-column='lr'] button")
    assert opened.cells("lr") == [
        "0.0004",
        "0.01",
        "0.02",
        "0.03",
        "0.04",
        "0.05",
        "0.1",
        "0.3",
        "8.5",
    ]
    opened.page.click("th[data-column='lr'] button")
    assert opened.cells("lr")[:2] == ["8.5", "0.3"]
    opened.page.click("th[data-column='value'] button")
    assert opened.cells("value")[0] == "0.5000"
    assert opened.cells("value")[-2:] == ["-", "-"]
    assert opened.page.get_attribute("th[data-column='value']", "aria-sort") == "ascending"


def test_filters_choose_rows_and_what_figures_show(opened: Opened) -> None:
    opened.filter("lr<0.02", "2 of 9 trials")
    assert set(opened.cells("lr")) == {"0.01", "0.0004"}
    opened.filter("lr>=0.02 normal:0.01 state=complete", "3 of 9 trials")
    assert set(opened.cells("init")) == {"normal:0.01"}
    shown = [one for one in opened.traces("history") if one["name"] == "complete"]
    assert sorted(shown[0]["y"]) == [0.5, 0.6, 0.7]
    opened.filter("", "all 9 trials")
    opened.page.uncheck(".state input[value='complete']")
    opened.page.wait_for_function(
        "() => document.querySelector('.count').textContent === '2 of 9 trials'"
    )
    assert opened.cells("state") == ["diverged", "failed"]


def test_choosing_trials_changes_the_curves(opened: Opened) -> None:
    first = [
        f"trial {n} (val_accuracy {v})" for n, v in ((1, "0.9500"), (0, "0.9000"), (2, "0.8500"))
    ]
    assert opened.names("curves")[:3] == first
    assert len(opened.names("curves")) == 5
    opened.page.click("button.none")
    assert opened.names("curves") == []
    opened.page.click("tr[data-row='3'] td:nth-child(4)")
    [line] = opened.traces("curves")
    assert line["name"] == "trial 5 (val_accuracy 0.7000)"
    assert line["y"] == [pytest.approx(0.7 / 3, rel=1e-4), pytest.approx(1.4 / 3, rel=1e-4), 0.7]
    opened.page.select_option(".measure", "train_loss")
    assert opened.traces("curves")[0]["y"] == [2.0, 1.0, pytest.approx(2 / 3, rel=1e-4)]
    opened.page.check("tr[data-row='7'] input")
    assert "trial 7 (diverged)" in opened.page.inner_text(".left-out")
    assert opened.page.inner_text(".chosen-count") == "2 chosen"


def test_no_trial_is_dropped_from_a_figure(opened: Opened) -> None:
    """Those without a value stand on an axis of their own, and axes are as the space says."""
    for kind in ("history", "slice"):
        traces = opened.traces(kind)
        assert {one["name"] for one in traces} >= {"complete", "diverged", "failed"}
        drawn = sum(len(t["x"]) for t in traces if t["name"] in ("complete", "diverged", "failed"))
        assert drawn == 9
        assert {t["yaxis"] for t in traces if t["name"] in ("diverged", "failed")} == {"y2"}
    lr = opened.page.locator("[data-figure='slice']").first
    assert lr.evaluate("plot => plot.layout.xaxis.type") == "log"
    assert "diverged" in opened.names("parallel")


def test_layers_of_the_chosen_trials(opened: Opened) -> None:
    lines = opened.traces("layers")
    assert [one["y"] for one in lines[:2]] == [[0.5], [0.7]]
    assert "after epoch 3" in opened.page.inner_text(".layer-table")
    opened.page.select_option(".quantity", "update")
    assert opened.traces("layers")[0]["y"] == [0.001]


def test_texts_of_users_stay_texts(look: Any, tmp_path: Path) -> None:
    told = (
        *NINE[:3],
        lost(3.0, HOSTILE),
        ended(State.FAILED, HOSTILE, point(0.3), traceback=HOSTILE, where=HOSTILE),
    )
    storage = tmp_path / "studies.db"
    write_study(storage, told=told)
    note = f"{IMG}{SCRIPT}<!--\"'`&"
    assert cli.run(["note", "digits", "0", note, "--storage", str(storage)]) == 0
    opened = look(write(storage, "digits"))
    opened.draw_all()
    opened.page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    for row in range(5):
        opened.page.click(f"tr[data-row='{row}'] td:nth-child(2)")
    assert note in opened.cells("note")
    assert any(IMG in text for text in opened.cells("reason"))
    assert IMG in opened.page.inner_text("details >> nth=0")
    assert opened.page.locator("img").count() == 0
    assert opened.page.evaluate("window.hacked") is None


def test_text_is_escaped_where_it_is_put_in() -> None:
    assert tag("p", HOSTILE).count("<") == 2
    assert tag("p", "", title='"><b>') == '<p title="&quot;&gt;&lt;b&gt;"></p>'
    data = script_data({"text": HOSTILE, "value": float("nan")})
    assert not set("<>&\u2028") & set(data)
    assert json.loads(data) == {"text": HOSTILE, "value": None}


def test_studies_of_which_there_is_little_to_show(look: Any, tmp_path: Path) -> None:
    storage = tmp_path / "studies.db"
    write_study(storage, "one", NINE[:1])
    write_study(storage, "none", ())
    write_study(storage, "lost", tuple(lost(lr) for lr in (1.0, 2.0, 3.0)))
    opened = look(write(storage, "one", "none", "lost"))
    assert "fewer than two of them had a complete" in opened.page.inner_text("#overview")
    told = {
        0: ("0.9000", "importance takes 20"),
        1: ("No trial has begun yet", "cnnsearch run none.yaml"),
        2: ("No trial is complete yet", "3 of 3 ended trials wasted"),
    }
    for study, texts in told.items():
        opened.tab(f"study-{study}")
        opened.draw_all()
        panel = opened.page.inner_text(f"#study-{study}")
        assert all(text in panel for text in texts)
    panel = "#study-2 "
    assert [one["name"] for one in opened.traces("history", panel)] == ["diverged"]
    assert opened.traces("curves", panel) == []


def test_several_studies_have_a_tab_each(look: Any, nine: Path) -> None:
    opened = look(write(nine, "digits", "other"))
    overview = opened.page.inner_text("#overview")
    assert "With 2 trials, or 6 epochs, each" in overview
    assert [one["name"] for one in opened.traces("progress-trials")] == ["digits", "other"]
    assert not opened.page.is_visible("#study-1")
    opened.tab("study-1")
    assert not opened.page.is_visible("#overview")
    assert "0.8000" in opened.page.inner_text("#study-1 .hero")
    opened.draw_all()


def test_it_is_whole_on_paper(opened: Opened) -> None:
    assert len(opened.page.pdf()) > 20_000
    undrawn = "all => all.filter(one => one.querySelector('.main-svg') === null).length"
    assert opened.page.eval_on_selector_all(".plot", undrawn) == 0


def test_a_thousand_trials_open_in_three_seconds(browser: Browser, tmp_path: Path) -> None:
    """Until the figures in view are drawn. The processor's time, as other tests run beside."""
    storage = tmp_path / "studies.db"
    told = [trained(0.5 + k / 50, 10 ** (k / 10 - 3), epochs=20) for k in range(20)]
    write_study(storage, told=(*told, *map(lost, (3.0, 5.0, 9.0))))
    multiply(storage, 1000)
    path = write(storage, "digits")
    session = browser.new_browser_cdp_session()

    def spent() -> float:
        found = session.send("SystemInfo.getProcessInfo")["processInfo"]
        return float(sum(one["cpuTime"] for one in found if one["type"] == "renderer"))

    times = []
    for _ in range(3):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        before, began = spent(), time.perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn]")
        times.append(min(spent() - before, time.perf_counter() - began))
        assert page.locator("tr[data-row]").count() == 1000
        page.close()
    assert statistics.median(times) < 3.0


@pytest.fixture
def call(nine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the verb in an empty folder."""
    monkeypatch.setenv("CNNSEARCH_STORAGE", str(nine))
    monkeypatch.chdir(tmp_path)
    return lambda *words: cli.run(["report", *words])


def test_the_file_has_the_studys_name_and_is_not_lost(
    call: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("digi") == 0
    path = tmp_path / "digits.html"
    captured = capsys.readouterr()
    assert captured.out == ""
    assert path.as_uri() in captured.err
    path.write_text("mine", encoding="utf-8")
    assert call("digits") == 2
    assert "Write --force to overwrite it" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine"
    assert call("digits", "--force") == 0
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert call("digits", "other") == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["digits.html", "report.html"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nope",), "no study 'nope'"),
        (("digits", "-o", "nowhere/x.html"), "no folder nowhere"),
        (("digits", "-o", "x.txt"), "-o x.txt: ends in .txt. Write .html."),
        (("digits", "-o", "x", "--force"), "-o x: has no ending. Write .html."),
        (("digits", "-o", "."), "Write a file name, such as ./report.html"),
    ],
)
def test_bad_input_writes_nothing(
    call: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: Any, told: str
) -> None:
    assert call(*words) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_plotly_it_says_what_to_install(
    call: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    assert call("digits") == 2
    assert "pip install 'cnnsearch[report]'" in capsys.readouterr().err


def test_hidden_trials_are_left_out(tmp_path: Path) -> None:
    storage = tmp_path / "studies.db"
    write_study(storage, told=NINE[:3], space=SPACE)
    assert cli.run(["hide", "digits", "1", "--storage", str(storage)]) == 0
    text = write(storage, "digits").read_text(encoding="utf-8")
    assert "0.9500" not in text
    assert "0.9000" in text
