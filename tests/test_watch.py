"""`watch`: the view driven by keys over a real study, at several sizes; and without a terminal."""

from __future__ import annotations

import asyncio
import json
import math
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot

from cnnsearch import cli, ending
from cnnsearch.config import from_plain
from cnnsearch.config.sections import Data, Folds
from cnnsearch.records import Outcome, Params, Start, State
from cnnsearch.study import attributes, read, requests, sqlite
from cnnsearch.study.backends import backend
from cnnsearch.study.store import Study
from cnnsearch.watch.app import INTERRUPTED, Source, Watch
from cnnsearch.watch.lines import follow
from cnnsearch.watch.stopping import Wanted, stop
from tests.builders import digits_config, write_digits
from tests.studies import curve, multiply, write_study

SIZES = [(80, 24), (120, 40), (200, 60)]
TRAINED = 5
COMMAND = "cnnsearch run digits.yaml -n 8"
UNKNOWN = "cnnsearch run FILE, with the file it was started from"
Steps = Callable[[Watch, "Pilot[int]"], Awaitable[None]]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks ten times a second, not once."""
    monkeypatch.setattr("cnnsearch.watch.reader.EVERY_S", 0.1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of a real search of `TRAINED` trials, whose file asks for 6."""
    folder = tmp_path_factory.mktemp("watch")
    # A pruner, because with one reports are stored at once; it lets the first five be.
    search = "search: {sampler: random, trials: 6, pruner: median}"
    file = write_digits(folder, train="train: {epochs: 4, batch_size: 32}", search=search)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.run(["run", str(file), "-n", str(TRAINED), "-j", "0"]) == 0
    return folder / "cnnsearch.db"


@pytest.fixture
def running(trained: Path, tmp_path: Path) -> Iterator[tuple[Path, Study]]:
    """A copy of it, owned by this process, with one more trial that runs: number 5, two epochs."""
    path = tmp_path / "studies.db"
    path.write_bytes(trained.read_bytes())
    attrs = read.study_attributes(str(path), "digits")
    assert attrs is not None
    config = from_plain(attrs["config"])
    count = TRAINED + 3
    study = Study.claim(str(path), config, attrs["fingerprint"], count, command=COMMAND)
    try:
        begin(study, TRAINED, reports=[0.25, 0.5])
        yield path, study
    finally:
        study.release()


@pytest.fixture
def folds(tmp_path: Path) -> Iterator[Path]:
    """The storage of a study with folds, of which a trial runs that has ended two of four."""
    path = tmp_path / "folds.db"
    data = Data(name="digits", limit=200, validation=Folds(folds=4))
    config = replace(digits_config("folds", pruner="median"), data=data)  # stored at once
    study = Study.claim(str(path), config, "images", 2)
    try:
        begin(study, 0, reports=[])
        finish(study, 0, 0.75)
        begin(study, 1, reports=[0.25, 0.5])
        yield path
    finally:
        study.release()


def begin(study: Study, place: int, reports: list[float]) -> None:
    """Begin the trial of a point and tell some of its epochs."""
    params: Params = {"lr": 0.0123, "init": "he", "batchnorm": True}
    trial = study.begin(Start(place, str(place), 1, 7, params))
    for epoch, value in enumerate(reports, 1):
        study.report(trial.number, epoch, value)


def finish(study: Study, number: int, value: float) -> None:
    """End a running trial as complete."""
    trial = next(t for t in study.trials() if t.number == number)
    outcome = Outcome(State.COMPLETE, seconds=2.0)
    study.finish(ending.ended(trial, outcome, None, [curve(value)], "val_accuracy", "best"))


def view(
    storage: Path,
    steps: Steps,
    size: tuple[int, int] = (80, 24),
    study: str = "digits",
    chain: bool = False,
) -> int | None:
    """Open the view, wait for its first look, take the steps; its exit code if they left it."""

    async def main() -> int | None:
        app = Watch(Source(str(storage), study, chain), utf8=True)
        async with app.run_test(size=size) as pilot:
            await sees(app, pilot, "best:")
            await steps(app, pilot)
        return app.return_value

    return asyncio.run(main())


def lines(app: Watch) -> list[str]:
    """What stands on the screen."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


async def sees(app: Watch, pilot: Pilot[int], text: str) -> list[str]:
    """Wait until a text stands on the screen, wrapped or not."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = lines(app)
        if text in " ".join(" ".join(found).split()) or any(text in line for line in found):
            return found
        await pilot.pause(0.02)
    raise AssertionError(f"no {text!r} in\n" + "\n".join(lines(app)))


def ranking(app: Watch) -> list[str]:
    """The rows of the ranking that are seen: number and value."""
    listing = app.query_one("#ranking")
    rows = listing.render()
    return [" ".join(row.strip(" >*").split()[:2]) for row in str(rows).splitlines()[1:]]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_wanted_first_stands_first(
    running: tuple[Path, Study], size: tuple[int, int]
) -> None:
    best = read.summary(str(running[0]), "digits").best

    async def look(app: Watch, pilot: Pilot[int]) -> None:
        found = await sees(app, pilot, "● best")
        assert len(found) == size[1]
        assert all(len(line) <= size[0] for line in found)
        assert found[0].startswith("digits ━")
        assert f" {TRAINED} of 8 trials, about " in found[0]
        assert found[0].endswith(" left")
        assert f"val_accuracy {best:.4f}; lr " in found[1]
        assert "1 running; " in found[2]
        assert found[3].startswith("verdicts: ")
        assert any(line.startswith("running on ") for line in found[4:6])
        [row] = [line for line in found if "2/4" in line]
        assert row.split()[:3] == ["5", "━━━━━╌╌╌╌╌", "2/4"]
        chosen = f"> {ranking(app)[0].split()[0]} "
        assert [line.count("> ") for line in found if ">" in line] == [1], "where the keys go"
        assert any(chosen in line for line in found)
        assert "0.5000" in row
        assert "0.0123" in row
        assert any("▲ 5" in line for line in found), "the legend"
        assert sum(line.count("▲") for line in found) > 2, "the running trial's curve"
        assert any(line.count("┤") for line in found)
        assert found[-1].startswith("q quit  s sort")
        assert len(ranking(app)) == TRAINED

    view(running[0], look, size)


def test_keys_sort_page_mark_and_compare(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    path.write_bytes(trained.read_bytes())
    multiply(path, 300)

    async def press(app: Watch, pilot: Pilot[int]) -> None:
        await sees(app, pilot, "of 300 trials")
        by_rank = ranking(app)
        await pilot.press("s")
        assert ranking(app)[0].startswith("299 "), "newest first"
        await pilot.press("r")
        assert ranking(app)[0].startswith("0 ")
        await pilot.press("r", "pagedown", "pagedown")
        assert not ranking(app)[-1].startswith("299 ")
        await pilot.press("end")
        assert ranking(app)[-1].startswith("0 ")
        await pilot.press("home")
        await pilot.press("s", "s")
        [header] = [line for line in lines(app) if "lr ^" in line]
        assert "verdict" in header
        await pilot.press("s", "s", "s", "s", "s")
        assert ranking(app) == by_rank, "round once"
        await pilot.press("c")
        assert any("mark trials with space" in line for line in lines(app))
        await pilot.press("space", "c")
        found = await sees(app, pilot, "mark a second trial with space")
        assert not any("cnnsearch compare" in line for line in found)
        await pilot.press("down", "m")
        first, second = (row.split()[0] for row in by_rank[:2])
        found = await sees(app, pilot, f"cnnsearch compare digits {first} {second}")
        found = await sees(app, pilot, f"● {first}   ▲ {second}")
        assert sum(f"*{number}" in line for line in found for number in (first, second)) == 2
        await pilot.press("space", "c")
        assert any("● best" in line for line in lines(app))

    view(path, press)


def test_what_folds_report_is_no_curve(folds: Path) -> None:
    async def look(app: Watch, pilot: Pilot[int]) -> None:
        found = await sees(app, pilot, "with folds a trial has its curve when it has ended")
        assert any("2/4" in line and "0.5000" in line for line in found)
        found = await sees(app, pilot, "● best, 0")
        assert not any("▲" in line for line in found)
        await pilot.press("tab", "space", "c")
        await sees(app, pilot, "none has ended yet")

    view(folds, look, study="folds")


def test_help_and_the_ways_to_leave(trained: Path) -> None:
    async def read_help(app: Watch, pilot: Pilot[int]) -> None:
        await pilot.press("question_mark")
        await sees(app, pilot, "Any key closes this")
        await pilot.press("z")
        await sees(app, pilot, "best:")
        await pilot.press("q")

    async def interrupt(app: Watch, pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+c")

    async def leave_twice(app: Watch, pilot: Pilot[int]) -> None:
        await pilot.press("q")
        app._leave(143)  # as SIGTERM does while it ends

    assert view(trained, read_help) == 0
    assert view(trained, interrupt) == INTERRUPTED
    assert view(trained, leave_twice) == 0


def test_the_stop_keys_ask_first_and_leave_what_stop_leaves(running: tuple[Path, Study]) -> None:
    path, study = running

    def asked() -> list[tuple[list[int], bool]]:
        attrs = read.study_attributes(str(path), "digits") or {}
        waiting = requests.waiting(attrs).values()
        return [(one["trials"], one["now"]) for one in waiting if one["verb"] == requests.STOP]

    async def stop(app: Watch, pilot: Pilot[int]) -> None:
        await pilot.press("x")
        await sees(app, pilot, "choose a running trial")
        await pilot.press("x")
        await sees(app, pilot, "Stop trial 5 after its current epoch?")
        await pilot.press("n", "x")
        await sees(app, pilot, "Stop trial 5")
        assert asked() == []
        await pilot.press("y")
        await sees(app, pilot, "trial 5 ends after its current epoch")
        assert asked() == [([5], False)]
        await pilot.press("X")
        await sees(app, pilot, "End the search")
        await pilot.press("y")
        await sees(app, pilot, "the search ends when its running trials have ended")
        assert asked() == [([5], False), ([], False)]

    view(path, stop)
    assert study.trials()[5].state is State.RUNNING


def test_the_view_goes_on_while_a_request_is_sent(running: tuple[Path, Study]) -> None:
    path, study = running

    async def send(app: Watch, pilot: Pilot[int]) -> None:
        with backend(str(path)).exclusively():  # as another request, or a backup, may have it
            await pilot.press("x", "x", "y")
            await sees(app, pilot, "asking to stop trial 5 ...")
            study.report(5, 3, 0.75)
            await sees(app, pilot, "3/4")
            await pilot.press("q")
            await sees(app, pilot, "press q again to leave without it")
            found = await sees(app, pilot, "asking to stop trial 5 ...")
            assert found[-1].startswith("q quit")
        await sees(app, pilot, "trial 5 ends after its current epoch")
        assert not any("asking" in line for line in lines(app))
        await pilot.press("q")

    assert view(path, send) == 0


def test_keys_that_come_at_once_are_for_the_list_that_has_them_by_then(
    running: tuple[Path, Study],
) -> None:
    async def type_fast(app: Watch, pilot: Pilot[int]) -> None:
        await sees(app, pilot, "2/4")
        for key, character in (("tab", "\t"), ("space", " "), ("x", "x")):
            app.post_message(Key(key, character))
        await sees(app, pilot, "Stop trial 5")
        assert app._marked == [5]

    view(running[0], type_fast)


def test_nothing_to_stop_is_said(trained: Path) -> None:
    async def stop(app: Watch, pilot: Pilot[int]) -> None:
        await pilot.press("x")
        await sees(app, pilot, "no trial is running")
        await pilot.press("X")
        await sees(app, pilot, "nobody runs it")

    before = trained.read_bytes()
    view(trained, stop)
    assert trained.read_bytes() == before


def test_a_search_that_ended_while_the_question_stood(running: tuple[Path, Study]) -> None:
    path, study = running

    async def ask_late(app: Watch, pilot: Pilot[int]) -> None:
        await pilot.press("X")
        await sees(app, pilot, "End the search")
        study.release()
        await pilot.press("y")
        await sees(app, pilot, "nobody runs it, so there is nothing to stop")

    view(path, ask_late)
    attrs = read.study_attributes(str(path), "digits") or {}
    assert not any(key.startswith(attributes.REQUEST) for key in attrs), "nothing was left"


def test_a_trial_that_ended_while_the_question_stood(running: tuple[Path, Study]) -> None:
    path, study = running

    async def ask_late(app: Watch, pilot: Pilot[int]) -> None:
        await pilot.press("x", "x")
        await sees(app, pilot, "Stop trial 5")
        finish(study, 5, 0.5)
        await pilot.press("y")
        await sees(app, pilot, "trial 5 ended before that, so there is nothing to stop")

    view(path, ask_late)
    assert read.trial(str(path), "digits", 5).value == 0.5


def test_the_command_to_continue_is_read_to_its_end(running: tuple[Path, Study]) -> None:
    path, study = running
    command = "cnnsearch run configs/digits.yaml --storage postgresql+psycopg://ann@db.example.org/studies"

    async def look(app: Watch, pilot: Pilot[int]) -> None:
        study._set(attributes.COMMAND, f"{command} -n 8")
        study.release()
        found = await sees(app, pilot, f"to continue: {command} -n 8")
        assert any(line.startswith("postgresql+") for line in found), "a word is whole"
        assert found[-1].startswith("q quit")

    view(path, look)


def test_the_view_follows_the_search(running: tuple[Path, Study]) -> None:
    path, study = running

    async def watch(app: Watch, pilot: Pilot[int]) -> None:
        study.report(5, 3, 0.75)
        await sees(app, pilot, "3/4")
        finish(study, 5, 0.9999)
        await sees(app, pilot, "best: trial 5, val_accuracy 0.9999")
        assert ranking(app)[0] == "5 0.9999"
        assert not app.query_one("#running").display
        await sees(app, pilot, "● best, 5")
        study.release()
        await sees(app, pilot, f"nobody runs it; to continue: {COMMAND}")

    view(path, watch)


def test_a_storage_that_is_gone_or_busy_is_said_and_tried_again(
    running: tuple[Path, Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = running
    monkeypatch.setattr(sqlite, "_PATIENCE_S", 0.05)

    async def lose(app: Watch, pilot: Pilot[int]) -> None:
        path.rename(path.with_name("away.db"))
        found = await sees(app, pilot, "cannot be read now, tried again: study digits is gone")
        assert any("best: trial" in line for line in found), "what was seen stays"
        await pilot.press("s")
        assert any("trial v" in line for line in lines(app)), "keys work"
        path.with_name("away.db").rename(path)
        while any("cannot be read" in line for line in lines(app)):
            await pilot.pause(0.02)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await sees(app, pilot, "database is locked")
            other.execute("ROLLBACK")
        while any("cannot be read" in line for line in lines(app)):
            await pilot.pause(0.02)

    view(path, lose, (200, 60))  # what is said names the file, and that is to fit


def test_the_view_reads_beside_a_writer_and_leaves_no_lock(running: tuple[Path, Study]) -> None:
    path, _ = running

    async def write(app: Watch, pilot: Pilot[int]) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("UPDATE trial_intermediate_values SET intermediate_value = 0.125")
            seen = app._seen
            while app._seen is seen:  # it looks again while the transaction is open
                await pilot.pause(0.02)
            assert not app._unread
            assert any("0.5000" in line for line in lines(app)), "not what is not yet written"
            writer.execute("COMMIT")
        await sees(app, pilot, "0.1250")

    view(path, write)


def test_marks_and_hidden_trials(running: tuple[Path, Study]) -> None:
    path, study = running
    best = read.summary_and_trials(str(path), "digits")[1]
    top = max((t for t in best if t.value is not None), key=lambda t: t.value or -math.inf)
    mark = {"verb": "hide", "trials": [top.number], "hidden": True}

    async def hide(app: Watch, pilot: Pilot[int]) -> None:
        assert ranking(app)[0].startswith(f"{top.number} ")
        requests.ask(str(path), "digits", mark, patience_s=0.0)
        study.apply_requests(0.0)
        while ranking(app)[0].startswith(f"{top.number} "):
            await pilot.pause(0.02)
        assert f"best: trial {top.number}," not in lines(app)[1]

    view(path, hide)


def test_a_pipe_gets_a_line_a_trial_until_the_search_is_over(
    running: tuple[Path, Study], capsys: pytest.CaptureFixture[str]
) -> None:
    path, study = running
    waits = 0

    def sleep(_: float) -> None:
        nonlocal waits
        waits += 1
        finish(study, 5, 0.9999) if waits == 1 else study.release()

    follow(str(path), "digits", chain=False, sleep=sleep)
    told = capsys.readouterr()
    rows = told.out.splitlines()
    assert [row[:6] for row in rows] == [f"[{i}/8] " for i in range(1, 7)]
    assert "trial 5 complete: val_accuracy 0.9999, 2.0s; lr 0.0123, init he" in rows[-1]
    assert told.err == f"digits: nobody runs it; to continue: {COMMAND}\n"


def test_once(running: tuple[Path, Study], capsys: pytest.CaptureFixture[str]) -> None:
    storage = ["--storage", str(running[0])]
    assert cli.run(["watch", "--once", *storage]) == 0
    told = capsys.readouterr().out
    assert f"{TRAINED} of 8 trials, about " in told
    assert re.search(r"^5 .*2/4 ", told, flags=re.MULTILINE)
    assert cli.run(["watch", "dig", "--json", *storage]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["done"] == TRAINED
    assert found["planned"] == 8
    assert found["is_running"]
    assert found["left_s"] > 0
    [trial] = found["running"]
    assert trial["reported"] == [[1, 0.25], [2, 0.5]]
    assert trial["epochs"] == 4


def test_which_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "studies.db"
    storage = ["--storage", str(path)]
    assert cli.run(["watch", *storage]) == 2
    assert capsys.readouterr().err.startswith(f"no studies: there is no {path}. Go to the folder")
    write_study(path, "second")
    write_study(path, "first")
    assert cli.run(["watch", *storage]) == 0
    told = capsys.readouterr()
    assert told.err == f"first: nobody runs it; to continue: {UNKNOWN}\n"
    assert "\x1b" not in told.out
    assert cli.run(["watch", "third", *storage]) == 2
    assert "Studies: second, first." in capsys.readouterr().err


@pytest.mark.parametrize("pause", [0, 3])
def test_a_chain_goes_on_with_its_next_stage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pause: int
) -> None:
    """Also where nobody holds a stage for some looks, while the next is made."""
    path = tmp_path / "studies.db"
    stages = [chain_stage(path, 1)]
    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            finish(stages[-1], 0, 0.25)
            stages[-1].release()
        if looks == 1 + pause:
            stages.append(chain_stage(path, 2))
        if looks == 2 + pause:
            finish(stages[-1], 0, 0.5)
            stages[-1].release()

    follow(str(path), "c.1", chain=True, sleep=sleep)
    told = capsys.readouterr()
    assert ["0.2500" in row or "0.5000" in row for row in told.out.splitlines()] == [True, True]
    assert told.err == "c.2 has begun\nc.2: stage 2 of 2; nobody runs it; all is done\n"


@pytest.mark.parametrize(
    ("host", "lives", "waits"),
    [("here", True, True), ("here", False, False), ("elsewhere", False, True)],
)
def test_how_long_the_next_stage_is_waited_for(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    lives: bool,
    waits: bool,
) -> None:
    """A minute; on the machine of the search only while its process lives."""

    def kill(*_: int) -> None:
        if not lives:
            raise ProcessLookupError

    now = 100.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("socket.gethostname", lambda: "here")
    path = ended_stage(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("socket.gethostname", lambda: host)
        patched.setattr("os.kill", kill)
        patched.setattr("cnnsearch.watch.lines.EVERY_S", 7.0)
        follow(str(path), "c.1", chain=True, sleep=sleep, clock=lambda: now)
    told = capsys.readouterr().err
    assert told == f"c.1: stage 1 of 2 is done, and no other runs; to continue: {UNKNOWN}\n"
    assert now == 100.0 + (63.0 if waits else 0.0)


def test_the_view_between_two_stages(tmp_path: Path) -> None:
    path = ended_stage(tmp_path)

    async def look(app: Watch, pilot: Pilot[int]) -> None:
        await sees(app, pilot, "stage 1 of 2 is done; the next is being made")
        await pilot.press("X")
        await sees(app, pilot, "the next stage has not begun; press X again once it runs")
        stage = chain_stage(path, 2)
        await sees(app, pilot, "stage 2 of 2; running on ")
        stage.release()

    view(path, look, study="c.1", chain=True)
    assert read.study_names(str(path)) == ["c.1", "c.2"]


def test_the_view_where_no_next_stage_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ended_stage(tmp_path)
    monkeypatch.setattr("cnnsearch.watch.stages._NEXT_STAGE_S", 0.5)

    async def look(app: Watch, pilot: Pilot[int]) -> None:
        await sees(app, pilot, "stage 1 of 2 is done, and no other runs; to continue: ")

    view(path, look, study="c.1", chain=True)
    assert read.study_names(str(path)) == ["c.1"]


def test_a_stage_that_ended_while_the_question_stood(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    first = chain_stage(path, 1)
    second: list[Study] = []

    async def ask_late(app: Watch, pilot: Pilot[int]) -> None:
        await sees(app, pilot, "running on ")
        await pilot.press("X")
        await sees(app, pilot, "End the search")
        finish(first, 0, 0.25)
        first.release()
        second.append(chain_stage(path, 2))
        await pilot.press("y")
        await sees(
            app, pilot, "stage 1 of 2 has ended, so there is nothing to stop in it; ask again"
        )

    view(path, ask_late, study="c.1", chain=True)
    second[0].release()
    assert stop(str(path), Wanted("c.2")) == "nobody runs it, so there is nothing to stop"


def ended_stage(folder: Path) -> Path:
    """A storage with the first stage of a chain of two, which has ended."""
    path = folder / "studies.db"
    stage = chain_stage(path, 1)
    finish(stage, 0, 0.25)
    stage.release()
    return path


def chain_stage(path: Path, number: int) -> Study:
    """A stage of a chain of two, whose only trial runs."""
    made = Study.claim(str(path), digits_config(f"c.{number}"), "images", 1)
    made.keep_stage({"family": "c", "stage": number, "of": 2, "parent": None})
    begin(made, 0, [])
    return made
