"""Tags, notes and hidden trials: with and without a living coordinator, and what they change."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cnnsearch.errors import InputError, StorageGoneError
from cnnsearch.study import attributes, read, requests
from cnnsearch.study.database import open_storage
from cnnsearch.study.lock import StudyLock
from cnnsearch.study.store import Study
from tests.builders import digits_config, write_digits
from tests.studies import SPACE, complete, point, write_study
from tests.verbs import Found, call
from tests.waiting import until

__all__ = ["call"]  # fixture

ROOT = Path(__file__).parents[1]
CNNSEARCH = [sys.executable, "-m", "cnnsearch"]
EVIL = "a \x1b]52;c;ZXZpbA==\x07\x1b[31mred\x1b[0m\u202e\nline,\t=1"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the study `digits`, see `tests.studies.SEVEN`."""
    path = tmp_path_factory.mktemp("written") / "studies.db"
    write_study(path)
    return path


@pytest.fixture(scope="module")
def marked(written: Path) -> Path:
    """The same with marks."""
    path = Path(shutil.copy(written, written.with_name("marked.db")))
    for request in (
        tag(1, "keep", "v1.2"),
        tag(4, "keep", "to-rerun"),
        tag(3, "3rd"),
        {"verb": "note", "trials": [4], "text": "loss still falls, and the rest of the story"},
        {"verb": "hide", "trials": [1, 2], "hidden": True},
    ):
        leave(path, **request)
    assert requests.ask(str(path), "digits", {"verb": "hide", "trials": [], "hidden": True})
    return path


@pytest.fixture
def storage(written: Path, tmp_path: Path) -> Path:
    """The database, of each test its own."""
    return Path(shutil.copy(written, tmp_path / "studies.db"))


def numbers(found: Found) -> list[str]:
    return [row[0] for row in found.rows[1:] if row[0].isdigit()]


def marks(
    storage: Path, study: str = "digits"
) -> dict[int, tuple[tuple[str, ...], str | None, bool]]:
    """Of the trials that have any."""
    found = {t.number: (t.tags, t.note, t.hidden) for t in read.trials(str(storage), study)}
    return {number: mark for number, mark in found.items() if mark != ((), None, False)}


def stored(storage: Path, study: str = "digits") -> dict[str, Any]:
    """The study's attributes that requests are made of."""
    attrs = read.study_attributes(str(storage), study) or {}
    names = (attributes.MARKS, attributes.REQUEST)
    return {key: value for key, value in attrs.items() if key.startswith(names)}


def leave(storage: Path, **request: Any) -> None:
    """Leave a request as a verb does that is killed at once."""
    database = open_storage(str(storage))
    study_id = database.get_study_id_from_name("digits")
    requests.leave(database, str(storage), study_id, request)
    database.engine.dispose()


def tag(number: int, *add: str, remove: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"verb": "tag", "trials": [number], "add": list(add), "remove": list(remove)}


class TestWithoutACoordinator:
    def test_tags(self, call: Any, storage: Path) -> None:
        found = call("tag", "digits", "best", "3", "--add", "keep,v1.2", "--add", "a_b")
        assert found == Found(0, "", "digits: tagged keep, v1.2, a_b: trials 1, 3\n")
        assert marks(storage) == dict.fromkeys((1, 3), (("a_b", "keep", "v1.2"), None, False))
        found = call("tag", "digits/1", "--remove", "keep,a_b", "--add", "done")
        assert found.err == "digits: tagged done, no longer tagged keep, a_b: trial 1\n"
        call("tag", "digits/3", "--remove", "keep,a_b,v1.2")
        assert marks(storage) == {1: (("done", "v1.2"), None, False)}

    def test_notes(self, call: Any, storage: Path) -> None:
        assert call("note", "digits/2").err == "digits/2 has no note.\n"
        found = call("note", "digits", "2", "loss  rose", "at once")
        assert found == Found(0, "", "digits: note written: trial 2\n")
        assert call("note", "digits", "2") == Found(0, "loss rose at once\n", "")
        assert call("note", "digits/2", "--clear").err == "digits: note deleted: trial 2\n"
        assert marks(storage) == {}

    def test_hide_and_undo(self, call: Any, storage: Path) -> None:
        assert call("hide", "digits", "0-1").err == "digits: hidden: trials 0, 1\n"
        assert call("hide", "digits", "0-2").err == (
            "digits: hidden: trials 0, 1, 2 (2 of them before)\n"
        )
        assert call("hide", "digits", "0").err == "digits: hidden: trial 0 (as before)\n"
        call("hide", "digits", "0,2", "--undo")
        assert marks(storage) == {1: ((), None, True)}

    def test_trials_of_two_studies(self, call: Any, storage: Path) -> None:
        write_study(storage, "other", (complete(0.5, point(0.1)),))
        found = call("tag", "digits/1", "other/best", "--add", "x")
        assert found.err == "digits: tagged x: trial 1\nother: tagged x: trial 0\n"
        assert marks(storage, "other") == {0: (("x",), None, False)}

    def test_what_is_applied_leaves_no_request(self, call: Any, storage: Path) -> None:
        for number in range(5):
            call("tag", "digits", str(number), "--add", "x")
            call("note", "digits", str(number), "y")
        attrs = stored(storage)
        assert attrs.pop(attributes.MARKS).keys() == {"0", "1", "2", "3", "4"}
        assert attrs == {f"{attributes.REQUEST}0": None}

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["tag", "digits", "1"], "Write --add NAME"),
            (["tag", "digits", "1", "--add", "two words"], "'two words' is no tag"),
            (["tag", "digits", "1", "--add", ""], "'' is no tag"),
            (["tag", "digits", "1", "--add", "a,,b"], "'' is no tag"),
            (["tag", "digits", "1", "--remove", "-x"], "'-x' is no tag"),
            (["tag", "digits", "1", "--add", "x" * 41], "at most 40"),
            (["tag", "digits", "1", "--add", "\u0430bc"], "is no tag"),
            (["tag", "digits", "1", "--add", "x", "--remove", "x"], "Write one of them"),
            (["tag", "digits", "--add", "x"], "which trial?"),
            (["tag", "digits", "99", "--add", "x"], "no trial 99"),
            (["note", "digits", "0-1", "text"], "one trial is wanted"),
            (["note", "digits", "1", " \n\t"], "Write --clear"),
            (["note", "digits", "1", "x" * 1001], "1001 characters are too many"),
            (["note", "digits", "1", "x", "--clear"], "TEXT and --clear together"),
            (["hide", "digits", "1", "nine"], "no such reference"),
            (["list", "digits", "--where", "kepp in tags"], "unknown name 'kepp'"),
        ],
        ids=str,
    )
    def test_wrong_input(self, call: Any, storage: Path, arguments: list[str], told: str) -> None:
        before = storage.read_bytes()
        found = call(*arguments)
        assert (found.code, found.out) == (2, "")
        assert told in found.err
        assert len(found.err.splitlines()) == 1
        assert storage.read_bytes() == before

    def test_the_longest_note(self, call: Any, storage: Path) -> None:
        assert call("note", "digits", "1", "x" * 1000).code == 0
        assert marks(storage)[1][1] == "x" * 1000

    def test_a_study_that_is_gone(self, storage: Path) -> None:
        with pytest.raises(InputError, match="study gone is gone"):
            requests.ask(str(storage), "gone", tag(0, "x"))

    def test_nothing_in_a_note_steers_a_terminal(self, call: Any, storage: Path) -> None:
        call("note", "digits", "1", EVIL)
        assert marks(storage)[1][1] == "a red line, =1"
        for words in ("list digits", "list digits --csv", "show digits 1", "note digits 1"):
            found = call(*words.split())
            assert "a red line, =1" in found.out
            assert "\x1b" not in found.out
        call("note", "digits", "1", "=SUM(A1)")
        assert "'=SUM(A1)" in call("list", "digits", "--csv").out


class TestKilled:
    """Between leaving a request, applying it and freeing its place."""

    def test_a_request_that_was_left_is_applied_by_the_next_verb_in_order(
        self, call: Any, storage: Path
    ) -> None:
        leave(storage, **tag(1, "a", "b"))
        leave(storage, **tag(1, "c", remove=("a",)))
        leave(storage, verb="note", trials=[1], text="first")
        leave(storage, verb="note", trials=[1], text="last")
        assert marks(storage) == {}
        call("hide", "digits", "2")
        assert marks(storage) == {1: (("b", "c"), "last", False), 2: ((), None, True)}

    def test_by_the_next_run(self, storage: Path) -> None:
        leave(storage, **tag(1, "a"))
        study = Study.claim(str(storage), digits_config("digits", SPACE, 3), "images", 8)
        try:
            assert marks(storage) == {1: (("a",), None, False)}
            leave(storage, **tag(1, "b"))
        finally:
            study.release()
        assert marks(storage) == {1: (("a", "b"), None, False)}

    def test_applied_but_not_freed(self, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """All is as if the kill had not been, though what came first is applied again."""
        database = open_storage(str(storage))
        study_id = database.get_study_id_from_name("digits")
        leave(storage, **tag(1, "a"))
        leave(storage, **tag(1, remove=("a",)))
        original = database.set_study_user_attr
        for written in range(3):
            left = iter(range(written))

            def killed(study_id: int, key: str, value: Any, left: Iterator[int] = left) -> None:
                if next(left, None) is None:
                    raise KeyboardInterrupt
                original(study_id, key, value)

            monkeypatch.setattr(database, "set_study_user_attr", killed)
            with pytest.raises(KeyboardInterrupt):
                requests.apply(database, study_id)
        monkeypatch.undo()
        requests.apply(database, study_id)
        database.engine.dispose()
        assert marks(storage) == {}
        assert sorted(map(str, stored(storage).values())) == ["None", "None", "{}"]

    def test_a_stop_that_is_taken_but_not_freed(
        self, storage: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The storage fails between the two: the search has it, and is given it once more."""
        study = Study.claim(str(storage), digits_config("digits", SPACE, 3), "images", 8)
        try:
            leave(storage, verb="stop", trials=[], now=False)

            def fails(study_id: int, key: str, value: Any) -> None:
                raise StorageGoneError("the storage is gone")

            with monkeypatch.context() as patch:
                patch.setattr(study._database, "set_study_user_attr", fails)
                study.apply_requests(0.0)
            assert study.gone is not None
            assert [one["verb"] for one in study.stops()] == ["stop"]
            study._try_again()
            study.apply_requests(0.0)
            assert [one["verb"] for one in study.stops()] == ["stop"]
            study.apply_requests(0.0)
            assert study.stops() == []
        finally:
            study.release()

    def test_a_real_kill(self, storage: Path, call: Any) -> None:
        """The process dies by SIGKILL as soon as its request is in the database."""
        code = (
            "import os, signal; from cnnsearch import cli; from cnnsearch.study import requests;"
            "requests._wait = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
            "cli.run(['tag', 'digits', '1', '--add', 'kept'])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(ROOT), "CNNSEARCH_STORAGE": str(storage)},
            check=False,
        )
        assert done.returncode == -9
        assert marks(storage) == {}
        call("tag", "digits", "2", "--add", "other")
        assert marks(storage) == {1: (("kept",), None, False), 2: (("other",), None, False)}

    def test_a_trial_that_does_not_exist_and_a_verb_that_is_unknown(
        self, call: Any, storage: Path
    ) -> None:
        """The first is dropped; the second waits for who understands it."""
        leave(storage, verb="hide", trials=[7, -1, 3], hidden=True)
        leave(storage, verb="later", trials=[1])
        call("tag", "digits", "2", "--add", "x")
        assert marks(storage) == {2: (("x",), None, False), 3: ((), None, True)}
        assert stored(storage)[attributes.MARKS].keys() == {"2", "3"}
        waiting = requests.waiting(stored(storage))
        assert [one["verb"] for one in waiting.values()] == ["later"]


class TestTogether:
    def test_three_processes_at_once(self, storage: Path) -> None:
        """Both arrive, each time: neither takes the other's place."""
        names = ["a", "b", "c"]
        processes = [
            subprocess.Popen(
                [*CNNSEARCH, "tag", "digits", "1", "--add", name],
                env={**os.environ, "PYTHONPATH": str(ROOT), "CNNSEARCH_STORAGE": str(storage)},
            )
            for name in names
        ]
        assert [process.wait(120) for process in processes] == [0] * len(names)
        database = open_storage(str(storage))  # the others may have kept one waiting too long
        requests.apply(database, database.get_study_id_from_name("digits"))
        database.engine.dispose()
        assert marks(storage) == {1: (tuple(names), None, False)}

    def test_one_that_looks_for_a_place_while_another_takes_it(
        self, storage: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first has read which places are free; the second comes before it writes."""
        database = open_storage(str(storage))
        study_id = database.get_study_id_from_name("digits")
        second = threading.Thread(target=lambda: leave(storage, **tag(1, "second")))
        original = database.get_study_user_attrs

        def slow(study_id: int) -> dict[str, Any]:
            found = original(study_id)
            second.start()
            second.join(1.0)  # as long as the first has not written, it cannot end
            return found

        monkeypatch.setattr(database, "get_study_user_attrs", slow)
        requests.leave(database, str(storage), study_id, tag(1, "first"))
        second.join(60)
        monkeypatch.undo()
        requests.apply(database, study_id)
        database.engine.dispose()
        assert marks(storage) == {1: (("first", "second"), None, False)}

    def test_a_request_takes_no_place_that_waits(self, storage: Path) -> None:
        for name in ("a", "b", "c"):
            leave(storage, **tag(1, name))
        assert len(requests.waiting(stored(storage))) == 3

    def test_a_busy_coordinator(
        self, call: Any, storage: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It owns the study and does not look: the verb says so and ends."""
        study = Study.claim(str(storage), digits_config("digits", SPACE, 3), "images", 8)
        try:
            tries = 0

            def acquire(_: StudyLock) -> bool:
                nonlocal tries
                tries += 1
                return False

            monkeypatch.setattr(requests, "PATIENCE_S", 0.0)
            monkeypatch.setattr(StudyLock, "acquire", acquire)
            found = call("hide", "digits", "1")
            assert found.code == 0
            assert tries == 1, "it waits no longer"
            assert found.err.endswith("; the running search is busy and stores it when it can\n")
            assert marks(storage) == {}
            study.apply_requests(0.0)
            assert marks(storage) == {1: ((), None, True)}
        finally:
            study.release()

    def test_a_coordinator_looks_twice_a_second_at_most(self, storage: Path) -> None:
        study = Study.claim(str(storage), digits_config("digits", SPACE, 3), "images", 8)
        try:
            leave(storage, **tag(1, "x"))
            study.apply_requests(60.0)
            assert marks(storage) == {}
        finally:
            study.release()

    def test_a_living_coordinator(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any
    ) -> None:
        """A real run: the verb waits for it, and says nothing of waiting."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("CNNSEARCH_STORAGE", "run.db")
        monkeypatch.setattr(requests, "PATIENCE_S", 120.0)
        path = write_digits(tmp_path, train="train: {epochs: 100000, batch_size: 32}")
        with subprocess.Popen(
            [*CNNSEARCH, "run", str(path), "-j", "1", "-S", "loss_ratio=null", "-n", "2"],
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:
            try:
                assert process.stderr is not None
                _wait_until(lambda: bool(read.trials("run.db", "digits")), process)
                found = call("tag", "digits", "0", "--add", "live")
                assert found == Found(0, "", "digits: tagged live: trial 0\n")
                assert process.poll() is None, "it still runs"
                [trial, *_] = read.trials("run.db", "digits")
                assert (str(trial.state), trial.tags) == ("running", ("live",))
            finally:
                process.kill()
        assert read.trials("run.db", "digits")[0].tags == ("live",)


def _wait_until(there: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until(lambda: there() or process.poll() is not None, "what the search does")
    assert process.poll() is None


class TestWhatListsShow:
    @pytest.fixture
    def storage(self, marked: Path, tmp_path: Path) -> Path:
        return Path(shutil.copy(marked, tmp_path / "studies.db"))

    def test_hidden_trials_are_left_out(self, call: Any) -> None:
        found = call("list", "digits")
        assert numbers(found) == ["6", "0", "4", "3"]
        assert found.err.endswith("2 hidden, see --hidden.\n")
        assert "best: trial 6, 0.9300" in found.err
        assert "4 complete, 1 diverged, 1 failed" in found.err, "counted all the same"
        [_, *rows] = call("list", "digits", "--hidden").rows
        assert [row[0] for row in rows] == ["6", "0", "4", "3", "1", "2"]
        assert rows[-2][:3] == ["1", "complete", "hidden"]
        assert "hidden" not in call("list", "digits", "--hidden").err

    def test_in_every_form(self, call: Any) -> None:
        for form in ("--json", "--csv", "--md"):
            found = call("list", "digits", form)
            assert found.err == "2 hidden, see --hidden.\n"
            assert "0.95" not in found.out
        objects = json.loads(call("list", "digits", "--json", "--hidden").out)
        told = {one["number"]: (one["tags"], one["note"], one["hidden"]) for one in objects}
        assert told[1] == (["keep", "v1.2"], None, True)
        assert told[0] == ([], None, False)
        rows = csv.DictReader(io.StringIO(call("export", "digits", "--csv").out))
        cells = {row["number"]: (row["tags"], row["note"], row["hidden"]) for row in rows}
        assert cells["1"] == ("keep, v1.2", "", "true"), "export holds hidden trials"
        assert cells["4"][1] == "loss still falls, and the rest of the story"

    def test_columns_only_where_there_is_something(self, call: Any) -> None:
        found = call("list", "digits")
        assert {"tags", "note"} < set(found.rows[0])
        assert "hidden" not in found.rows[0]
        row = next(line for line in found.out.splitlines() if line.split()[0] == "4")
        assert "keep, to-rerun" in row
        assert "loss still falls, and..." in row
        header = call("list", "digits", "--where", "number in (0, 6)").rows[0]
        assert not {"tags", "note", "hidden"} & set(header)

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--tag", "keep"], ["4"]),
            (["--tag", "keep", "--hidden"], ["4", "1"]),
            (["--tag", "keep", "--tag", "v1.2", "--hidden"], ["1"]),
            (["--where", "keep in tags"], ["4"]),
            (["--where", "'keep' in tags and to-rerun in tags"], ["4"]),
            (["--where", "to-rerun in tags or '3rd' in tags"], ["4", "3"]),
            (["--where", "keep not in tags"], ["6", "0", "3"]),
            (["--where", "v1.2 in tags", "--hidden"], ["1"]),
            (["--where", "hidden", "--hidden"], ["1", "2"]),
            (["--where", "not hidden", "--hidden"], ["6", "0", "4", "3"]),
            (["--where", "'falls' in note"], ["4"]),
            (["--where", "'' == note"], []),
            (["--sort", "tags", "--hidden", "--top", "1", "--where", "keep in tags"], ["4"]),
        ],
        ids=str,
    )
    def test_filters(self, call: Any, arguments: list[str], expected: list[str]) -> None:
        assert numbers(call("list", "digits", *arguments)) == expected

    def test_a_tag_that_no_trial_has(self, call: Any) -> None:
        found = call("list", "digits", "--tag", "kep")
        assert found.code == 0
        assert "--tag: no trial has 'kep'. Did you mean keep?" in found.err
        assert call("list", "digits", "--tag", "kep", "--json").out == "[]\n"

    def test_references_and_groups(self, call: Any) -> None:
        assert call("show", "digits", "best").out.startswith("trial 6 of digits")
        assert call("show", "digits", "1").out.splitlines()[1:3] == [
            "tags: keep, v1.2",
            "hidden: left out of lists and rankings",
        ]
        assert "note: loss still falls, and the rest of the story" in call("show", "digits/4").out
        assert call("compare", "digits", "top:3").out.split()[:3] == ["#6", "#0", "#4"]
        groups = json.loads(call("compare", "digits", "--by", "init", "--json").out)
        assert {group["value"]: group["trials"] for group in groups} == {"he": 3, "normal:0.01": 1}
        found = json.loads(call("diagnose", "digits", "--json").out)
        assert found["trials"] == 3

    def test_the_list_of_studies(self, call: Any) -> None:
        [study] = json.loads(call("list", "--json").out)
        assert (study["best"], study["counts"]["complete"]) == (0.93, 4)

    def test_where_all_that_completed_is_hidden(self, call: Any) -> None:
        call("hide", "digits", "0,4,6")
        found = call("show", "digits", "best")
        assert (found.code, "no trial of study digits that is not hidden" in found.err) == (2, True)
        assert call("list", "digits").code == 0
        assert "best" not in call("list", "digits").err

    def test_hidden_trials_are_not_run_again(self, storage: Path) -> None:
        from cnnsearch.plan import remaining

        config = digits_config("digits", SPACE, 3)
        trials = read.trials(str(storage), "digits")
        left = [start.point for start in remaining(config, trials, 8)]
        assert not {1, 2} & set(left)
