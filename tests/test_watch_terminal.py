"""`watch` and `run --watch` on a pseudo-terminal: colours, signs, signals, who has the keys."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cnnsearch import cli
from cnnsearch.records import Notice, State, Tick
from cnnsearch.render.display import LineDisplay, LiveDisplay
from cnnsearch.running.display import make_display
from cnnsearch.running.view import WatchDisplay
from cnnsearch.study import read
from tests.builders import digits_config, write_digits
from tests.studies import write_study
from tests.waiting import until

ROOT = Path(__file__).parents[1]
COLOUR = re.compile(r"\x1b\[[\d;]*\b(?:3[0-7]|38|4[0-7]|48|9[0-7])(?:;[\d;]*)?m")


class Terminal:
    """A process on a terminal of 80 x 24."""

    def __init__(self, arguments: Sequence[str], folder: Path, **variables: str) -> None:
        self._end, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._child = child
        self.before = termios.tcgetattr(child)
        env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LC_ALL", "COLUMNS")}
        env |= {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", **variables}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cnnsearch", *arguments],
            stdin=child,
            stdout=child,
            stderr=child,
            env=env,
            cwd=folder,
        )
        self.text = ""
        self._unseen = ""

    def sees(self, text: str, seconds: float = 120) -> None:
        """Read until a text came after what was seen before; what follows it is seen next."""
        deadline = time.monotonic() + seconds
        while text not in self._unseen:
            assert time.monotonic() < deadline, f"no {text!r} in {self._unseen[-3000:]!r}"
            assert self.process.poll() is None or self._waits(), f"it ended: {self._unseen!r}"
            self._some()
        self._unseen = self._unseen.partition(text)[2]

    def read(self) -> str:
        """All that came so far."""
        self._some()
        return self.text

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._end, keys)

    def ends(self) -> tuple[int, str]:
        """Wait for its end: its exit code and its last words, those after what was seen."""
        deadline = time.monotonic() + 120
        while self.process.poll() is None or self._waits():
            assert time.monotonic() < deadline, self._unseen[-3000:]
            self._some()
        return self.process.returncode, self._unseen

    @property
    def after(self) -> list[object]:
        """The terminal's settings now."""
        return list(termios.tcgetattr(self._child))

    def _waits(self) -> bool:
        return bool(select.select([self._end], [], [], 0)[0])

    def _some(self) -> str:
        if not select.select([self._end], [], [], 0.05)[0]:
            return ""
        part = os.read(self._end, 65536).decode(errors="replace")
        self.text += part
        self._unseen += part
        return part

    def close(self) -> None:
        """End what is left of it."""
        self.process.kill()
        self.process.wait()
        os.close(self._end)
        os.close(self._child)


@contextmanager
def terminal(arguments: Sequence[str], folder: Path, **variables: str) -> Iterator[Terminal]:
    made = Terminal(arguments, folder, **variables)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose storage holds the study digits."""
    write_study(tmp_path / "cnnsearch.db")
    return tmp_path


def test_without_colour(folder: Path) -> None:
    with terminal(["watch"], folder, NO_COLOR="1") as view:
        view.sees("0.9500")  # which may be drawn before the last line, or after it
        view.type(b"q")
        code, _ = view.ends()
        assert code == 0
        assert "q quit" in view.text
        assert not COLOUR.search(view.text)
        assert view.after == view.before, "the terminal is as it was"


def test_with_colour_and_ctrl_c(folder: Path) -> None:
    with terminal(["watch"], folder) as view:
        view.sees("0.9500")
        view.type(b"\x03")
        code, words = view.ends()
        assert code == 130
        assert COLOUR.search(view.text)
        assert "Traceback" not in words
        assert view.after == view.before


def test_a_terminal_without_utf8_and_a_signal(folder: Path) -> None:
    with terminal(
        ["watch"], folder, LC_ALL="POSIX", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0"
    ) as view:
        view.sees("0.9500")
        view.process.send_signal(signal.SIGTERM)
        code, words = view.ends()
        assert code == 143
        assert view.text.isascii()
        assert "####" in view.text
        assert "Traceback" not in words
        assert view.after == view.before


def test_run_shows_the_view_and_gets_ctrl_c(tmp_path: Path) -> None:
    endless = {"train": "train: {epochs: 100000, batch_size: 32}", "  lr": "  lr: [1e-4]"}
    write_digits(tmp_path, **endless)
    words = ["run", "digits.yaml", "-n", "3", "-j", "0", "-S", "loss_ratio=null", "--watch"]
    with terminal(words, tmp_path) as run:
        run.sees("/100000")
        command = list(_children(run.process.pid).values())
        assert any(" watch digits --of " in line for line in command)
        assert not any("cnnsearch.db" in line for line in command if " watch " in line)
        run.type(b"q")
        run.sees("\x1b[?1049l")  # the screen of before
        run.sees("0 of 3 trials")  # the usual display
        run.process.send_signal(signal.SIGINT)
        code, said = run.ends()
        assert code == 130
        assert "interrupted. To continue: cnnsearch run digits.yaml" in " ".join(said.split())
    with terminal(words, tmp_path) as run:
        run.sees("/100000")
        run.type(b"\x03")
        run.sees("\x1b[?1049l")
        code, said = run.ends()
        assert code == 130
        assert "interrupted. To continue" in " ".join(said.split())
        assert "Traceback" not in run.text
        assert run.after == run.before
    counts = read.summary(str(tmp_path / "cnnsearch.db"), "digits").counts
    assert dict(counts) == {State.KILLED: 1}


def test_a_view_that_was_closed_stays_closed_in_the_next_stage(tmp_path: Path) -> None:
    stages = "stages: [{epochs: 50, trials: 6}, {epochs: 600, trials: 1}]"
    write_digits(tmp_path, abort=f"abort: {{loss_ratio: null}}\n{stages}")
    words = ["run", "digits.yaml", "-j", "0", "--watch"]
    with terminal(words, tmp_path) as run:
        run.sees("/50")
        run.type(b"q")
        code, said = run.ends()
        assert code == 0
        assert "stage 2 of 2" in said
        assert run.text.count("\x1b[?1049h") == 1


def test_rerun_shows_the_view_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["run", str(write_digits(tmp_path)), "-n", "1", "-j", "0"]) == 0
    words = ["rerun", "digits", "0", "--seeds", "1", "--epochs", "100000", "-j", "0", "--watch"]
    with terminal(words, tmp_path) as rerun:
        rerun.sees("/100000")
        assert "digits-rerun" in rerun.text.partition("\x1b[?1049h")[2]
        rerun.type(b"\x03")
        rerun.sees("\x1b[?1049l")
        code, said = rerun.ends()
        assert code == 130
        assert "interrupted. To continue: cnnsearch rerun digits 0" in " ".join(said.split())


def test_the_view_leaves_when_its_search_has_died(tmp_path: Path) -> None:
    endless = {"train": "train: {epochs: 100000, batch_size: 32}", "  lr": "  lr: [1e-4]"}
    write_digits(tmp_path, **endless)
    words = ["run", "digits.yaml", "-n", "1", "-j", "0", "-S", "loss_ratio=null", "--watch"]
    with terminal(words, tmp_path) as run:
        run.sees("/100000")
        run.process.kill()
        run.process.wait()
        until(lambda: "\x1b[?1049l" in run.read(), "the screen of before")
        until(lambda: run.after == run.before, "the terminal as it was")
        assert run.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("fate", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "is killed"])
def test_the_terminal_of_a_view_that_could_not_give_it_back(
    tmp_path: Path, fate: signal.Signals
) -> None:
    endless = {"train": "train: {epochs: 100000, batch_size: 32}", "  lr": "  lr: [1e-4]"}
    write_digits(tmp_path, **endless)
    words = ["run", "digits.yaml", "-n", "1", "-j", "0", "-S", "loss_ratio=null", "--watch"]
    with terminal(words, tmp_path) as run:
        run.sees("/100000")
        assert run.after != run.before
        [view] = [pid for pid, line in _children(run.process.pid).items() if " watch " in line]
        os.kill(view, fate)
        if fate is signal.SIGKILL:
            run.sees("0 of 1 trials")  # the usual display
            assert run.after == run.before
        run.process.send_signal(signal.SIGINT)
        code, _ = run.ends()
        assert code == 130
        assert run.after == run.before
        left = run.text.rindex("\x1b[?1049l")
        assert run.text.rindex("\x1b[?1049h") < left < run.text.rindex("interrupted. To")
        assert run.text.rindex("\x1b[?25h") > run.text.rindex("\x1b[?25l")
        assert run.text.rindex("\x1b[?1003l") > run.text.rfind("\x1b[?1003h")


def test_what_is_told_meanwhile_is_told_afterwards(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal the verb prints lines and ends, as a view that is closed does."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    display = watching(folder, monkeypatch)
    with display:
        assert display._view is not None
        display.show(Notice("first"))
        display._view.wait(200)
        display.show(Tick())
        display.show(Notice("second"))
    told = capfd.readouterr()
    assert told.err.index("first") < told.err.index("second")
    assert "trial 1 complete" in told.out + told.err, "of the storage that the environment names"


def watching(folder: Path, monkeypatch: pytest.MonkeyPatch) -> WatchDisplay:
    """What shows a search in a terminal where the view is wanted."""
    monkeypatch.setattr("sys.stdin", _Terminal())
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    display = make_display(digits_config(), [], 3, 1, str(folder / "cnnsearch.db"))
    assert isinstance(display, WatchDisplay)
    return display


@pytest.mark.parametrize("code", [0, 143], ids=["q was pressed", "it was told to end"])
def test_how_a_view_left_at_the_end_of_its_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    begun = tmp_path / "begun"
    script = f'trap "exit {code}" TERM; touch {begun}; while :; do sleep 0.01; done'
    monkeypatch.setattr("cnnsearch.running.view._DEAF", ("/bin/sh", "-c", script, "sh"))
    display = watching(tmp_path, monkeypatch)
    with display:
        until(begun.exists, "the view")
    assert display.closed is (code == 0)


def test_a_view_that_left_after_the_last_event_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnsearch.running.view._DEAF", ("/bin/sh", "-c", "exit 1", "sh"))
    display = watching(tmp_path, monkeypatch)
    with display:
        assert display._view is not None
        display._view.wait(200)
    assert display.closed


def test_without_a_terminal_run_prints_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    display = make_display(digits_config(), [], 3, 1, "studies.db")
    assert isinstance(display, LineDisplay)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", _Terminal(terminal=False))
    assert isinstance(make_display(digits_config(), [], 3, 1, "studies.db"), LiveDisplay)


def test_a_pipe_needs_no_keyboard(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cnnsearch", "watch"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 7
    assert "\x1b" not in done.stdout
    told = (
        "digits: nobody runs it; to continue: cnnsearch run FILE, with the file it was started from"
    )
    assert done.stderr == f"{told}\n"


def test_the_verb_is_light(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.run(["watch", "--help"]) == 0
    code = (
        "import sys; from cnnsearch import cli; cli.run(['watch', '--once']);"
        "print([n for n in ('torch', 'optuna', 'textual') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "[]\n"


class _Terminal:
    def __init__(self, terminal: bool = True) -> None:
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def _children(parent: int) -> dict[int, str]:
    """The command lines of a process's children."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                words = path.with_name("cmdline").read_bytes()
                found[int(path.parent.name)] = words.replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found
