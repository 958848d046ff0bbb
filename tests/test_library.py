"""cnnsearch from Python: what is exported, and what it loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import yaml

import cnnsearch
from cnnsearch import cli, load_config, read_study, run_search
from cnnsearch.errors import InputError
from cnnsearch.records import State
from tests.builders import DIGITS_YAML, write_digits

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_loads_nothing() -> None:
    code = """
        import sys, cnnsearch
        assert not {"torch", "optuna", "click", "pydantic"} & set(sys.modules)
        from cnnsearch import load_config, read_study, run_search
        assert not {"torch", "optuna"} & set(sys.modules)
    """
    assert python(code).stderr == ""


def test_what_is_exported() -> None:
    for name in cnnsearch.__all__:
        assert getattr(cnnsearch, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'run_serach'"):
        _ = cnnsearch.run_serach


def test_a_search_as_the_verb_runs_it(tmp_path: Path) -> None:
    file = write_digits(tmp_path)
    assert cli.run(["run", str(file), "-j", "0", "--storage", "verb.db", "-n", "4"]) == 0
    study = run_search(load_config(file), trials=4, jobs=0, storage="library.db")
    other = read_study("dig", storage="verb.db")
    assert [t.value for t in study.trials] == [t.value for t in other.trials]
    assert [t.params for t in study.attempts] == [t.params for t in other.attempts]
    assert study.best is not None
    assert study.best.value == max(t.value for t in study.trials if t.value is not None)
    whole = study.trial(study.best.number)
    losses = [result.val_loss for result in study.curves()[whole.number]]
    assert losses == [result.val_loss for result in whole.curve]
    assert json.loads(json.dumps(study.rows()))[0]["value"] == study.best.value
    more = run_search(load_config(file, trials=6), jobs=0, storage="library.db")
    assert [t.number for t in more.attempts] == list(range(6)), "it is continued"


def test_a_config_of_plain_values() -> None:
    plain = {"study": "plain", **yaml.safe_load(DIGITS_YAML)}
    plain["space"] = {"lr": [0.01, 0.1]}
    config = load_config(plain, ["epochs=1"], trials=2)
    assert config.train.epochs == 1
    study = run_search(config, jobs=0)
    assert study.summary.name == "plain"
    assert len(study.trials) == 2


def test_a_chain(tmp_path: Path) -> None:
    stages = "stages:\n  - {epochs: 1, trials: 6}\n  - {epochs: 1, trials: 2, top: 5}\n"
    file = write_digits(tmp_path, search="search: {sampler: random}")
    file.write_text(file.read_text() + stages)
    study = run_search(load_config(file), jobs=0)
    assert study.summary.name == "digits.2"
    assert len(study.trials) == 2
    with pytest.raises(InputError, match="each stage has its own"):
        run_search(load_config(file), trials=3, jobs=0)


def test_mistakes(tmp_path: Path) -> None:
    file = write_digits(tmp_path)
    with pytest.raises(InputError, match="unknown name 'lr_'"):
        load_config(file, ["lr_=1"])
    with pytest.raises(InputError, match="trials: 0: write a number"):
        run_search(load_config(file), trials=0)
    single = load_config({"study": "one", "data": {"name": "digits"}})
    with pytest.raises(InputError, match="has no space"):
        run_search(single)
    with pytest.raises(InputError, match="there is no"):
        read_study("digits")
    assert not Path("cnnsearch.db").exists()


def test_a_script_without_a_main_guard(tmp_path: Path) -> None:
    """Its workers do not run the script again."""
    script = tmp_path / "script.py"
    script.write_text(
        "from cnnsearch import load_config, run_search\n"
        f"study = run_search(load_config({str(write_digits(tmp_path))!r}), trials=2, jobs=2)\n"
        "print('ended', len(study.trials), __name__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, str(script)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "ended 2 __main__\n", done.stderr


def test_beside_the_main_thread(tmp_path: Path) -> None:
    config = load_config(write_digits(tmp_path))
    found = []
    thread = threading.Thread(target=lambda: found.append(run_search(config, trials=1, jobs=0)))
    thread.start()
    thread.join(120)
    [study] = found
    assert study.attempts[0].state in (State.COMPLETE, State.DIVERGED)


def test_an_interruption(tmp_path: Path) -> None:
    """It ends in order first, and is then one of the program's own."""
    config = write_digits(tmp_path, train="train: {epochs: 100000, batch_size: 32}")
    code = f"""
        import os, signal, threading
        from cnnsearch import load_config, read_study, run_search
        def interrupt():
            while not os.path.exists("runs/digits/.0.partial/log.txt"):
                pass
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            run_search(load_config({str(config)!r}, ["loss_ratio=null"]), jobs=1)
        except KeyboardInterrupt:
            print({{str(trial.state) for trial in read_study("digits").attempts}})
    """
    assert python(code).stdout == "{'killed'}\n"
