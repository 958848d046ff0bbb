"""`export` for other programs, read back with their own readers."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from cnnsearch import ending
from cnnsearch.errors import CnnsearchError
from cnnsearch.exports.mlflow import connected
from cnnsearch.exports.told import METRICS
from cnnsearch.records import Diagnosis, Finding, Outcome, Start, State, Trial
from cnnsearch.space import Choice, Range
from cnnsearch.study import read
from cnnsearch.study.store import Study
from tests.builders import digits_config
from tests.studies import SEVEN, SPACE, complete, point, write_study
from tests.unprivileged import unprivileged
from tests.verbs import call, cut

__all__ = ["call"]  # a fixture
OVERFIT = Diagnosis("overfit", (Finding("overfit", 0.2, 0.1, "It is known by heart."),))


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with `digits`, of which trial 1 has a verdict, and `digits-wide`."""
    path = tmp_path_factory.mktemp("exports") / "studies.db"
    write_study(path, told=(SEVEN[0], replace(SEVEN[1], diagnosis=OVERFIT), *SEVEN[2:]))
    told = tuple(complete(0.5, {"lr": 0.1, "kernel": kernel}) for kernel in (1, 3))
    write_study(path, "digits-wide", told, {"lr": Range(1e-3, 1.0), "kernel": Choice((1, 3))})
    return path


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MLflow's database; its many tables are made without waiting for the disk, else for 15 s."""
    from mlflow import MlflowClient

    def not_waiting(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", not_waiting)
    MlflowClient(tracking_uri=uri).search_experiments()
    sqlalchemy.event.remove(sqlalchemy.Engine, "connect", not_waiting)
    return uri


@contextmanager
def going(storage: Path) -> Iterator[Study]:
    """A search of three points that this process runs, in a new database."""
    study = Study.claim(str(storage), digits_config("going", SPACE, 3), "images", 3)
    try:
        yield study
    finally:
        study.release()


def begin(study: Study, place: int, attempt: int = 1) -> Trial:
    return study.begin(Start(place, str(place), attempt, 1000 + place, point(0.1 * (place + 1))))


def end(study: Study, trial: Trial, value: float | None) -> None:
    """Of a trial with the value; None: its worker died."""
    told = complete(value or 0.0, trial.params)
    outcome = told.outcome if value is not None else Outcome(State.KILLED, "its worker died")
    curves = [told.curve] if value is not None else [()]
    study.finish(ending.ended(trial, outcome, None, curves, "val_accuracy", "best"))


@contextmanager
def answering() -> Iterator[tuple[str, list[str]]]:
    """A server with MLflow's REST interface and a single run; what it was asked for."""
    info = {"run_id": "abc", "experiment_id": "1", "status": "RUNNING", "start_time": 0}
    run = {"info": info, "data": {}}
    experiment = {"experiment_id": "1", "name": "digits", "lifecycle_stage": "active"}
    answer = json.dumps({"run": run, "experiment": experiment})
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            paths.append(self.path.partition("?")[0])
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", paths
        finally:
            server.shutdown()
            thread.join()


class TestTensorBoard:
    def accumulated(self, folder: Path) -> Any:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        return EventAccumulator(str(folder)).Reload()

    def test_scalars_of_each_epoch(self, call: Any, storage: Path, tmp_path: Path) -> None:
        found = call("export", "digits", "--tensorboard", str(tmp_path))
        assert found.code == 0
        assert found.out == ""
        assert f"tensorboard --logdir {tmp_path}" in found.err
        last = {"0", "1", "2", "3", "4", "6"}
        assert {one.name for one in (tmp_path / "digits").iterdir()} == last
        told = self.accumulated(tmp_path / "digits" / "1")
        trial = read.trial(str(storage), "digits", 1)
        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr"):
            scalars = told.Scalars(name)
            assert [one.step for one in scalars] == [1, 2, 3]
            values = [getattr(result, name) for result in trial.curve]
            assert [one.value for one in scalars] == pytest.approx(values, rel=1e-6)
        assert trial.started is not None
        assert told.Scalars("lr")[2].wall_time == pytest.approx(trial.started + 1.5)
        [objective] = told.Scalars("objective")
        assert (objective.step, objective.value) == (3, pytest.approx(0.95, rel=1e-6))
        assert "objective" not in self.accumulated(tmp_path / "digits" / "2").Tags()["scalars"]

    def test_the_page_of_hyperparameters(self, call: Any, tmp_path: Path) -> None:
        """As the plugin itself answers, for two studies in one folder."""
        from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
        from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
        from tensorboard.context import RequestContext
        from tensorboard.plugins.base_plugin import TBContext
        from tensorboard.plugins.hparams import api_pb2, list_session_groups
        from tensorboard.plugins.hparams.backend_context import Context

        for name in ("digits", "digits-wide"):
            assert call("export", name, "--tensorboard", str(tmp_path)).code == 0
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
        provider = MultiplexerDataProvider(multiplexer, str(tmp_path))
        context, ctx = Context(TBContext(data_provider=provider)), RequestContext()
        runs = context.hparams_metadata(ctx, "")
        experiment = context.experiment_from_metadata(ctx, "", True, runs, [])
        names = {info.name for info in experiment.hparam_infos}
        assert names >= {"lr", "init", "batchnorm", "state", "verdict", "kernel"}
        assert "objective" in {info.name.tag for info in experiment.metric_infos}
        states = list(api_pb2.Status.values())
        request = api_pb2.ListSessionGroupsRequest(
            start_index=0, slice_size=100, allowed_statuses=states
        )
        handler = list_session_groups.Handler(ctx, context, "", request)
        groups = {group.name: group for group in handler.run().session_groups}
        assert len(groups) == 8
        best = groups["digits/1"]
        assert best.hparams["lr"].number_value == 0.1
        assert best.hparams["init"].string_value == "normal:0.01"
        assert best.hparams["batchnorm"].bool_value is False
        assert best.hparams["state"].string_value == "complete"
        assert best.hparams["verdict"].string_value == "overfit"
        failed = groups["digits/3"].sessions[0]
        assert failed.status == api_pb2.STATUS_FAILURE
        assert groups["digits/2"].sessions[0].status == api_pb2.STATUS_SUCCESS

    def test_the_reason_is_a_text_that_does_no_harm(self, call: Any, tmp_path: Path) -> None:
        from tensorboard.util.tensor_util import make_ndarray

        assert call("export", "digits", "3", "--tensorboard", str(tmp_path)).code == 0
        [event] = self.accumulated(tmp_path / "digits" / "3").Tensors("trial")
        text = make_ndarray(event.tensor_proto).item().decode()
        assert "trial 3 of digits: failed" in text
        assert "RuntimeError: shape [/red]abc" in text
        assert all(line.startswith("    ") for line in text.splitlines()), "a block of code"

    def test_a_second_export_replaces_the_first(self, call: Any, tmp_path: Path) -> None:
        for _ in range(2):
            assert call("export", "digits", "1", "--tensorboard", str(tmp_path)).code == 0
        assert len(list((tmp_path / "digits" / "1").iterdir())) == 1
        assert len(self.accumulated(tmp_path / "digits" / "1").Scalars("lr")) == 3

    def test_while_it_runs_and_again_later(self, call: Any, tmp_path: Path) -> None:
        words = ["export", "going", "--tensorboard", str(tmp_path / "logs")]
        words += ["--storage", str(tmp_path / "going.db")]

        def scalars(number: int) -> dict[str, list[int]]:
            told = self.accumulated(tmp_path / "logs" / "going" / str(number))
            return {
                name: [one.step for one in told.Scalars(name)] for name in told.Tags()["scalars"]
            }

        def text(number: int) -> str:
            from tensorboard.util.tensor_util import make_ndarray

            told = self.accumulated(tmp_path / "logs" / "going" / str(number))
            [event] = told.Tensors("trial")
            return str(make_ndarray(event.tensor_proto).item().decode())

        with going(tmp_path / "going.db") as study:
            first, second = begin(study, 0), begin(study, 1)
            end(study, first, 0.5)
            assert call(*words).code == 0
            assert scalars(1) == {}
            assert "trial 1 of going: running" in text(1)
            end(study, second, None)
            again = begin(study, 1, attempt=2)
            assert call(*words).code == 0
            assert "trial 1 of going: killed" in text(1)
            end(study, again, 0.7)
            assert call(*words).code == 0
        whole = {**{name: [1, 2, 3] for name in METRICS}, "objective": [3]}
        assert scalars(0) == scalars(2) == whole
        assert scalars(1) == {}

    def test_killed_in_the_middle(self, call: Any, storage: Path, tmp_path: Path) -> None:
        """TensorBoard reads every file whose name holds `tfevents`: a draft must not be one."""
        words = ("export", "digits", "1", "--tensorboard", str(tmp_path))
        assert call(*words).code == 0
        run = tmp_path / "digits" / "1"
        [file] = run.iterdir()
        found = cut(file.stat().st_size - 1, "SIG_DFL", storage, *words)
        assert found.returncode == -signal.SIGXFSZ, found.stderr
        assert len(list(run.iterdir())) == 2
        assert len(self.accumulated(run).Scalars("lr")) == 3

    def test_all_attempts(self, call: Any, tmp_path: Path) -> None:
        call("export", "digits", "--all-attempts", "--tensorboard", str(tmp_path))
        assert len(list((tmp_path / "digits").iterdir())) == len(SEVEN)

    def test_a_file_in_its_place(self, call: Any, tmp_path: Path) -> None:
        (tmp_path / "logs").touch()
        found = call("export", "digits", "--tensorboard", str(tmp_path / "logs"))
        assert found.code == 2
        assert "is a file" in found.err

    def test_without_tensorboard(self, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        found = call("export", "digits", "--tensorboard", "logs")
        assert (found.code, found.out) == (2, "")
        assert found.err.endswith("pip install 'cnnsearch[tensorboard]'\n")
        assert not Path("logs").exists()


@pytest.mark.filterwarnings("ignore:The ``noload`` loader:sqlalchemy.exc.SADeprecationWarning")
class TestMlflow:
    def runs(self, uri: str, study: str = "digits") -> dict[str, Any]:
        """All runs of a study's experiment by name; two of one name are an error."""
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(study)
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        named = {run.info.run_name: run for run in runs}
        assert len(named) == len(runs)
        return named

    def history(self, uri: str, run: Any, name: str) -> list[tuple[int, float]]:
        from mlflow import MlflowClient

        found = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, name)
        return [(metric.step, metric.value) for metric in found]

    def test_a_run_a_trial_below_the_studys(self, call: Any, storage: Path, uri: str) -> None:
        found = call("export", "digits", "--mlflow", uri)
        assert (found.code, found.out) == (0, "")
        assert found.err.startswith(f"Wrote 6 runs to {uri}, below the run digits")
        runs = self.runs(uri)
        assert set(runs) == {"digits", *(f"digits/{k}" for k in (0, 1, 2, 3, 4, 6))}
        parent, best = runs.pop("digits"), runs["digits/1"]
        assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {
            parent.info.run_id
        }
        assert parent.data.metrics == {"best_val_accuracy": 0.95}
        assert best.data.params["lr"] == "0.1"
        assert best.data.params["init"] == "normal:0.01"
        assert best.data.tags["state"] == "complete"
        assert best.data.tags["seed"] == "1001"
        assert best.data.metrics["objective"] == 0.95
        assert best.data.tags["verdict"] == "overfit"
        assert "overfit: It is known by heart." in best.data.tags["mlflow.note.content"]
        trial = read.trial(str(storage), "digits", 1)
        for name in ("train_loss", "val_loss", "val_accuracy", "lr"):
            wanted = [(result.epoch, getattr(result, name)) for result in trial.curve]
            assert self.history(uri, best, name) == wanted
        statuses = {name: run.info.status for name, run in runs.items()}
        assert statuses["digits/3"] == "FAILED"
        assert statuses["digits/2"] == "FINISHED"
        assert "shape [/red]abc" in runs["digits/3"].data.tags["mlflow.note.content"]

    def test_again_it_doubles_nothing(self, call: Any, uri: str) -> None:
        """And brings up to date what users said meanwhile."""
        call("export", "digits", "--mlflow", uri)  # unless the test before did
        before = {name: run.info.run_id for name, run in self.runs(uri).items()}
        assert call("tag", "digits", "1", "--add", "kept").code == 0
        found = call("export", "digits", "--mlflow", uri)
        assert "Wrote 0 runs" in found.err
        assert "6 were there already" in found.err
        runs = self.runs(uri)
        assert {name: run.info.run_id for name, run in runs.items()} == before
        assert [step for step, _ in self.history(uri, runs["digits/1"], "lr")] == [1, 2, 3]
        assert len(self.history(uri, runs["digits"], "best_val_accuracy")) == 1
        assert runs["digits/1"].data.tags["tags"] == "kept"

    def test_while_it_runs_and_again_later(self, call: Any, uri: str, tmp_path: Path) -> None:
        words = ("export", "going", "--mlflow", uri, "--storage", str(tmp_path / "going.db"))

        def statuses() -> dict[str, str]:
            return {name: run.info.status for name, run in self.runs(uri, "going").items()}

        with going(tmp_path / "going.db") as study:
            assert call(*words).err.startswith("study going has no trials yet.")
            first, second = begin(study, 0), begin(study, 1)
            end(study, first, 0.5)
            assert "Wrote 2 runs" in call(*words).err
            status = {"going": "RUNNING", "going/0": "FINISHED", "going/1": "RUNNING"}
            assert statuses() == status
            assert not self.runs(uri, "going")["going/1"].data.metrics
            end(study, second, None)
            again, third = begin(study, 1, attempt=2), begin(study, 2)
            end(study, third, 0.7)
            assert "Wrote 2 runs" in call(*words).err
            status |= {"going/1": "KILLED", "going/2": "RUNNING", "going/3": "FINISHED"}
            assert statuses() == status
            end(study, again, 0.6)
            for _ in range(2):
                assert "Wrote 0 runs" in call(*words).err
        runs = self.runs(uri, "going")
        assert statuses() == status | {"going": "FINISHED", "going/2": "FINISHED"}
        for number, value in {0: 0.5, 2: 0.6, 3: 0.7}.items():
            run = runs[f"going/{number}"]
            assert self.history(uri, run, "objective") == [(3, value)]
            for name in METRICS:
                assert [step for step, _ in self.history(uri, run, name)] == [1, 2, 3]
            assert run.info.end_time >= run.info.start_time
        assert [value for _, value in self.history(uri, runs["going"], "best_val_accuracy")] == [
            0.5,
            0.7,
        ]
        assert runs["going"].data.metrics == {"best_val_accuracy": 0.7}

    def test_a_study_made_anew_is_another_run(
        self, call: Any, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = tmp_path / "other.db"
        write_study(other, told=(complete(0.5, point(0.1)),))
        found = call("export", "digits", "--mlflow", uri, "--storage", str(other))
        assert "Wrote 1 run " in found.err

    def test_passwords(self, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        found = call("export", "digits", "--mlflow", "http://me:s3cret@127.0.0.1:1")
        assert found.code == 2
        assert "$MLFLOW_TRACKING_URI" in found.err
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        said = call("export", "digits", "--mlflow", "auto")
        assert said.code == 1
        assert said.err.startswith("--mlflow http://127.0.0.1:1: ")
        assert len(said.err.splitlines()) == 1
        assert "s3cret" not in found.err + said.err

    def test_a_server_is_told_and_nothing_is_printed(self, call: Any) -> None:
        with answering() as (uri, paths):
            found = call("export", "digits", "1", "--mlflow", uri)
        assert (found.code, found.out) == (0, "")
        assert len(found.err.splitlines()) == 1
        assert "/api/2.0/mlflow/runs/update" in paths

    def test_a_database_of_studies(self, call: Any, storage: Path, tmp_path: Path) -> None:
        own = tmp_path / "own.db"
        own.write_bytes(storage.read_bytes())
        found = call("export", "digits", "--mlflow", f"sqlite:///{own}", "--storage", str(own))
        assert (found.code, found.out) == (2, "")
        assert found.err == (
            f"--mlflow sqlite:///{own}: holds studies. Write another, as sqlite:///mlflow.db.\n"
        )
        assert own.read_bytes() == storage.read_bytes()

    def test_a_database_that_is_to_be_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With its folder, by MLflow, which takes long: there is nothing to refuse."""
        uris = []
        monkeypatch.setattr("mlflow.MlflowClient", lambda tracking_uri: uris.append(tracking_uri))
        uri = f"sqlite:///{tmp_path}/new/mlflow.db"
        with connected(uri):
            assert uris == [uri]

    def test_a_database_of_another_program(self, call: Any, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
            connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
            connection.execute("INSERT INTO alembic_version VALUES ('theirs')")
        found = call("export", "digits", "--mlflow", f"sqlite:///{tmp_path}/other.db")
        assert (found.code, found.out) == (1, "")
        assert len(found.err.splitlines()) == 1
        assert "'theirs'" in found.err

    def test_a_folder_that_may_not_be_written(self, storage: Path, tmp_path: Path) -> None:
        folder = tmp_path / "closed"
        folder.mkdir(0o555)
        words = ("export", "digits", "--storage", str(storage), "--mlflow")
        for uri in ("sqlite:///ml.db", f"sqlite:///{folder}/new/ml.db"):
            done = unprivileged(folder, *words, uri)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr == (
                f"--mlflow {uri}: {folder} cannot be written. Make that folder writable, or write "
                "another path, as sqlite:////DIR/mlflow.db.\n"
            )

    def test_what_sqlalchemy_says(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The reason alone, without its class, its statement and an address."""
        monkeypatch.setattr("mlflow.MlflowClient", lambda tracking_uri: tracking_uri)
        engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/absent/ml.db")
        with pytest.raises(CnnsearchError) as caught, connected(f"sqlite:///{tmp_path}/ml.db"):
            engine.connect()
        assert str(caught.value).endswith("ml.db: unable to open database file")

    def test_no_database(self, call: Any, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("no database at all")
        uri = f"sqlite:///{tmp_path}/notes.txt"
        found = call("export", "digits", "--mlflow", uri)
        assert (found.code, found.out) == (2, "")
        assert found.err == (
            f"--mlflow {uri}: is no database. Write another, as sqlite:///mlflow.db.\n"
        )

    @pytest.mark.parametrize("folder", ["mlruns", "file:///tmp/mlruns"])
    def test_folders(self, call: Any, folder: str) -> None:
        found = call("export", "digits", "--mlflow", folder)
        assert found.code == 2
        assert "Write sqlite:///mlflow.db" in found.err

    def test_auto_without_a_variable(self, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert "is not set" in call("export", "digits", "--mlflow", "auto").err

    def test_without_mlflow(self, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "mlflow", None)
        found = call("export", "digits", "--mlflow", "sqlite:///x.db")
        assert found.code == 2
        assert found.err.endswith("pip install 'cnnsearch[mlflow]'\n")


def test_one_form_at_a_time(call: Any) -> None:
    found = call("export", "digits", "--csv", "--tensorboard", "logs")
    assert found.err == "--csv and --tensorboard together. Write one of them.\n"
    found = call("export", "digits", "--tensorboard", "logs", "-o", "x")
    assert found.err == "-o: --tensorboard says where to write. Leave -o out.\n"
