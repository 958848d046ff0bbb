"""`dashboard`: Optuna's pages over a storage, while a search runs."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli
from cnnsearch.records import State
from cnnsearch.study import dashboard, read
from tests.builders import write_digits
from tests.studies import write_study
from tests.waiting import until

Capture = pytest.CaptureFixture[str]


@contextmanager
def served(storage: str) -> Iterator[str]:
    """The address of a dashboard."""
    with dashboard.serve(storage, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def get(address: str, method: str = "GET", **headers: str) -> Any:
    data = b"{}" if method in ("POST", "PUT") else None
    request = urllib.request.Request(address, data=data, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer) if "json" in answer.headers["Content-Type"] else answer.read()


def status(address: str, method: str = "GET", **headers: str) -> int:
    try:
        get(address, method, **headers)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def test_it_shows_the_trials(storage: str) -> None:
    """Of SQLite and PostgreSQL."""
    write_study(storage)  # type: ignore[arg-type]
    with served(storage) as address:
        [study] = get(f"{address}/api/studies")["study_summaries"]
        assert study["study_name"] == "digits"
        found = get(f"{address}/api/studies/{study['study_id']}")
        states = [trial["state"] for trial in found["trials"]]
        assert states == ["Complete", "Complete", "Pruned", "Fail", "Complete", "Fail", "Complete"]
        assert b"<html" in get(f"{address}/dashboard")
        importances = get(f"{address}/api/studies/{study['study_id']}/param_importances")
        assert importances["param_importances"]


def test_it_cannot_write(storage: str) -> None:
    """Neither by its API, nor where that let something through, in the database."""
    write_study(storage)  # type: ignore[arg-type]
    with served(storage) as address:
        study_id = get(f"{address}/api/studies")["study_summaries"][0]["study_id"]
        assert status(f"{address}/api/studies/{study_id}", "DELETE") == 405
        assert status(f"{address}/api/studies", "POST") == 405
        assert status(f"{address}/api/studies/{study_id}/note", "PUT") == 405
    before = read.summary_and_trials(storage, "digits")
    environ = {
        "REQUEST_METHOD": "DELETE", "PATH_INFO": f"/api/studies/{study_id}", "wsgi.input": None,
        "SERVER_NAME": "x", "SERVER_PORT": "1", "wsgi.url_scheme": "http",
    }  # fmt: skip
    answers: list[str] = []
    pages = dashboard.application(storage)
    list(pages(environ, lambda code, *_: answers.append(code)))
    assert answers == ["500 Internal Server Error"], "the database refused"
    assert read.summary_and_trials(storage, "digits") == before


def test_names_of_other_sites_are_refused(tmp_path: Path) -> None:
    write_study(tmp_path / "a.db")
    with served(str(tmp_path / "a.db")) as address:
        assert status(f"{address}/api/studies", Host="evil.example:80") == 403
        assert status(f"{address}/api/studies") == 200


def asked_until_it_ends(search: subprocess.Popen[str]) -> list[int]:
    """How many complete trials the dashboard told of, each time; after some it is to end."""
    seen: list[int] = []
    stopped = False
    with served("cnnsearch.db") as address:
        while search.poll() is None:
            [study] = get(f"{address}/api/studies")["study_summaries"]
            found = get(f"{address}/api/studies/{study['study_id']}")
            seen.append(sum(trial["state"] == "Complete" for trial in found["trials"]))
            if not stopped and len(seen) > 5 and seen[-1] > seen[0] + 5:
                stopped = True
                assert cli.run(["stop", "digits"]) == 0
    return seen


def test_a_search_runs_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked again and again, with the same numbers and no error on any side."""
    write_digits(tmp_path, search="search: {sampler: random, trials: 1000}")
    monkeypatch.chdir(tmp_path)
    run = [sys.executable, "-m", "cnnsearch", "run", "digits.yaml", "-j", "1"]
    search = subprocess.Popen(run, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: list(Path("runs/digits").glob("*")), "the first trial")
        seen = asked_until_it_ends(search)
        assert search.stderr is not None
        told = search.stderr.read()
    finally:
        search.kill()
        search.communicate()
    assert search.returncode == 0, told
    assert "storage" not in told
    assert len(seen) > 5
    assert seen == sorted(seen)
    ended = len(read.trials("cnnsearch.db", "digits"))
    (tmp_path / "alone").mkdir()
    monkeypatch.chdir(tmp_path / "alone")
    assert cli.run(["run", "../digits.yaml", "-j", "0", "-n", str(ended)]) == 0
    one, other = (
        [(trial.point, trial.state, trial.value, trial.epochs) for trial in trials]
        for trials in (read.trials(name, "digits") for name in ("cnnsearch.db", "../cnnsearch.db"))
    )
    assert one == other
    assert {state for _, state, _, _ in one} >= {State.COMPLETE}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_signal_ends_it(number: signal.Signals, code: int, tmp_path: Path) -> None:
    write_study(tmp_path / "cnnsearch.db")
    process = subprocess.Popen(
        [sys.executable, "-m", "cnnsearch", "dashboard", "--port", "0"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        # A shell's background jobs begin with it ignored, and so would this one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stderr is not None
    line = process.stderr.readline()
    address = line.split()[0]
    assert address.startswith("http://127.0.0.1:")
    assert status(address) == 200
    process.send_signal(number)
    assert process.wait(120) == code
    assert process.stderr.read().strip() == ""
    process.stderr.close()


def test_a_port_that_is_taken(tmp_path: Path, capsys: Capture) -> None:
    write_study(tmp_path / "a.db")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        words = ["dashboard", "--port", str(port), "--storage", str(tmp_path / "a.db")]
        assert cli.run(words) == 2
    told = capsys.readouterr().err
    assert (
        told
        == f"--port {port}: Address already in use. Write another, or 0 for one that is free.\n"
    )


def test_without_a_port_another_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_study(tmp_path / "a.db")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(dashboard, "PORT", port)
        with dashboard.serve(str(tmp_path / "a.db"), None) as server:
            assert server.server_port != port


def test_nothing_to_show(tmp_path: Path, capsys: Capture) -> None:
    assert cli.run(["dashboard", "--storage", str(tmp_path / "a.db")]) == 2
    assert "to start one: cnnsearch run FILE" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_optuna_dashboard(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    assert cli.run(["dashboard"]) == 2
    assert capsys.readouterr().err.endswith("pip install 'cnnsearch[dashboard]'\n")
