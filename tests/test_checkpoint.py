"""Checkpoints of one trial: going on from one gives the numbers of an unbroken run."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnsearch import catalog, checkpoint, runner
from cnnsearch.config.config import Config
from cnnsearch.config.sections import Abort, Data, Folds, Model, Train
from cnnsearch.data import load, prepare
from cnnsearch.records import Checkpointing, EpochResult, Outcome, Prepared, State
from cnnsearch.train import Progress
from tests.test_runner import digits

Item = Prepared | EpochResult | Outcome
EPOCHS = 5


def all_of_it(**train: Any) -> Config:
    """All that draws or keeps something: 10 steps an epoch, windows of 7 across their ends."""
    settings = {"lr": 0.03, "epochs": EPOCHS, "batch_size": 32, "weight_decay": 1e-3, **train}
    return digits(
        seed=7,
        data=Data(name="digits", limit=300, crop=1, flip=True),
        model=Model(conv=[8], hidden=[16], dropout=0.3, batchnorm=True, activation="prelu"),
        train=Train(**settings),
        abort=Abort(check_every=7),
    )


def attempt(
    config: Config,
    number: int,
    folder: Path,
    until: int | None = None,
    every: int = 1,
    fold: int = 0,
) -> list[Item]:
    """What an attempt yields, to its end or to its death after some epoch."""
    earlier = [str(folder / f"{k}.pt") for k in reversed(range(number))]
    several = config.data.folds > 1
    plan = Checkpointing(every, str(folder / f"{number}.pt"), tuple(earlier), several)
    running = runner.run(config, fold=fold, checkpoints=plan)
    if until is None:
        return list(running)
    found = list(itertools.islice(running, 1 + until))
    running.close()  # type: ignore[attr-defined]
    return found


def timeless(items: list[Item]) -> list[Item]:
    """Without times, and without the facts that tell of the checkpoint itself."""
    return [_timeless(item) for item in items]


def _timeless(item: Item) -> Item:
    if isinstance(item, EpochResult):
        return replace(item, seconds=0.0)
    if isinstance(item, Outcome):
        own = ("continued_after", "earlier_seconds")
        return replace(item, facts={k: v for k, v in item.facts.items() if k not in own})
    return item


def unbroken(config: Config, fold: int = 0) -> list[Item]:
    return timeless(list(runner.run(config, fold=fold)))


@cache
def whole() -> list[Item]:
    """An unbroken run of `all_of_it`."""
    return unbroken(all_of_it())


def continued_after(items: list[Item]) -> int | None:
    last = items[-1]
    assert isinstance(last, Outcome)
    return last.facts.get("continued_after")


VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {"optimizer": name} for name in catalog.OPTIMIZERS},
    **{f"schedule {name}": {"schedule": name} for name in catalog.SCHEDULES},
    "no momentum": {"momentum": 0.0},
    "nesterov": {"nesterov": True},
    "warm-up": {"schedule": "cosine", "warmup_epochs": 2.5},
    "step": {"schedule": "step", "step_every": 2},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_optimizer_and_schedule_goes_on(variant: str, tmp_path: Path) -> None:
    """To the last digit, killed at an odd and at an even epoch."""
    config = all_of_it(**VARIANTS[variant])
    expected = unbroken(config)
    for epoch in (1, 4):
        folder = tmp_path / str(epoch)
        folder.mkdir()
        attempt(config, 0, folder, until=epoch)
        again = attempt(config, 1, folder)
        assert continued_after(again) == epoch
        assert timeless(again) == expected


@pytest.mark.parametrize("activation", ["relu", "maxout", "tanh"])
@pytest.mark.parametrize("batchnorm", [True, False])
def test_killed_after_each_epoch(activation: str, batchnorm: bool, tmp_path: Path) -> None:
    """Each attempt trains one more epoch, and takes over all before it."""
    config = all_of_it(schedule="cosine", warmup_epochs=1.0)
    update = {"activation": activation, "batchnorm": batchnorm}
    config = replace(config, model=config.model.model_copy(update=update))
    for number in range(EPOCHS):
        told = attempt(config, number, tmp_path, until=number + 1)
        assert len(told) == 2 + number
    again = attempt(config, EPOCHS, tmp_path)
    assert continued_after(again) == EPOCHS - 1  # after the last epoch there is nothing to keep
    assert timeless(again) == unbroken(config)


def test_an_unkilled_run_with_checkpoints_is_the_run_without(tmp_path: Path) -> None:
    assert timeless(attempt(all_of_it(), 0, tmp_path)) == whole()


def test_times_of_epochs_taken_over_are_theirs(tmp_path: Path) -> None:
    first = attempt(all_of_it(), 0, tmp_path, until=3)
    again = attempt(all_of_it(), 1, tmp_path)
    assert again[: len(first)] == first  # their seconds too
    last = again[-1]
    assert isinstance(last, Outcome)
    seconds = sum(item.seconds for item in first if isinstance(item, EpochResult))
    assert last.facts["earlier_seconds"] == pytest.approx(seconds)


def test_every_so_many_epochs(tmp_path: Path) -> None:
    config = all_of_it()
    attempt(config, 0, tmp_path, until=1, every=2)
    assert not list(tmp_path.iterdir())
    attempt(config, 1, tmp_path, until=3, every=2)
    again = attempt(config, 2, tmp_path, every=2)
    assert continued_after(again) == 2
    assert timeless(again) == unbroken(config)


def test_only_the_last_checkpoint_is_kept(tmp_path: Path) -> None:
    attempt(all_of_it(), 0, tmp_path, until=4)
    assert [path.name for path in tmp_path.iterdir()] == ["0.pt"]


def test_what_is_restored_is_what_was_kept(tmp_path: Path) -> None:
    """All of it, also when the losses are looked at next."""
    attempt(all_of_it(), 0, tmp_path, until=3)
    state = loaded((tmp_path / "0.pt").read_bytes())["state"]
    config = all_of_it()
    data = prepare(load(config.data), config.data, torch.device("cpu"))
    one = runner.make_member(config, data)
    progress = Progress(one.model, one.section, one.guard, one.generator)
    progress.restore(state)
    again = progress.state()
    assert {k: again[k] for k in ("epoch", "steps", "guard")} == {
        k: state[k] for k in ("epoch", "steps", "guard")
    }
    for name, tensor in again["model"].items():
        assert torch.equal(tensor, state["model"][name])
    assert torch.equal(again["generator"], state["generator"])
    assert again["steps"] == 3 * 10


@pytest.mark.parametrize(
    ("activation", "lr", "where"),
    [
        ("relu", 100.0, "above limit 8.2"),  # 3 times the lowest loss so far
        ("sigmoid", 30.0, "above limit 6.91"),  # 3 times ln(10)
    ],
)
def test_a_trial_diverges_where_it_would_have(
    activation: str, lr: float, where: str, tmp_path: Path
) -> None:
    """The guard goes on in the middle of a window, with the same limit."""
    late = digits(
        model=Model(conv=[], hidden=[16], activation=activation),
        train=Train(
            lr=lr, epochs=9, batch_size=32, warmup_epochs=8.0, momentum=0.9 if lr < 100 else 0.0
        ),
        abort=Abort(check_every=7),
    )
    expected = unbroken(late)
    outcome = expected[-1]
    assert isinstance(outcome, Outcome)
    assert outcome.state is State.DIVERGED
    assert where in (outcome.reason or "")
    epochs = len(expected) - 2
    assert epochs > 2  # at which step it is found depends on the processor
    for epoch in range(1, epochs + 1):
        folder = tmp_path / str(epoch)
        folder.mkdir()
        attempt(late, 0, folder, until=epoch)
        again = attempt(late, 1, folder)
        assert continued_after(again) == epoch
        assert timeless(again) == expected


def test_folds_keep_their_own(tmp_path: Path) -> None:
    """A fold that was complete is not trained again; another fold's checkpoint is of no use."""
    config = replace(
        all_of_it(), data=Data(name="digits", limit=300, validation=Folds(folds=3), crop=1)
    )
    for fold in (0, 2):
        folder = tmp_path / str(fold)
        folder.mkdir()
        attempt(config, 0, folder, until=2, fold=fold)
        again = attempt(config, 1, folder, fold=fold)
        assert continued_after(again) == 2
        assert timeless(again) == unbroken(config, fold)
        third = attempt(config, 2, folder, fold=fold)
        assert continued_after(third) == EPOCHS
        assert timeless(third) == unbroken(config, fold)
    assert continued_after(attempt(config, 3, tmp_path / "2", fold=1)) is None


# What stands in the place of a checkpoint, made of a valid one.
Spoil = Callable[[bytes], bytes]


def signed(content: object) -> bytes:
    """A file with a true check sum around what torch writes of something else."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return headed(buffer.getvalue())


def headed(rest: bytes) -> bytes:
    digest = hashlib.sha256(rest).hexdigest().encode()
    return b"cnnsearch checkpoint %d\n%s\n%s" % (checkpoint.FORMAT, digest, rest)


def loaded(valid: bytes) -> dict[str, Any]:
    content = torch.load(io.BytesIO(valid.split(b"\n", 2)[2]), weights_only=True)
    assert isinstance(content, dict)
    return content


def with_identity(name: str, value: str) -> Spoil:
    def spoil(valid: bytes) -> bytes:
        content = loaded(valid)
        assert name in content["identity"]
        content["identity"][name] = value
        return signed(content)

    return spoil


class Code:
    """Unpickled, it would write a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (Path("was run"), "code")


def zipped_code(valid: bytes) -> bytes:
    buffer = io.BytesIO()
    torch.save({"identity": Code(), "curve": [], "state": {}}, buffer)
    return headed(buffer.getvalue())


def other_network(valid: bytes) -> bytes:
    """Of the right identity, with a weight of another shape behind the first ones."""
    content = loaded(valid)
    weights = content["state"]["model"]
    name = next(reversed(weights))
    weights[name] = torch.zeros(3)
    return signed(content)


def without(*names: str) -> Spoil:
    def spoil(valid: bytes) -> bytes:
        content = loaded(valid)
        place = content
        for name in names[:-1]:
            place = place[name]
        del place[names[-1]]
        return signed(content)

    return spoil


SPOILT: dict[str, tuple[Spoil, str]] = {
    "empty": (lambda _: b"", "it is damaged"),
    "one byte": (lambda valid: valid[:1], "it is damaged"),
    "header alone": (lambda valid: valid[: valid.index(b"\n") + 1], "it is damaged"),
    "half": (lambda valid: valid[: len(valid) // 2], "it is damaged"),
    "a byte short": (lambda valid: valid[:-1], "it is damaged"),
    "a byte more": (lambda valid: valid + b"\0", "it is damaged"),
    "zeros": (lambda valid: bytes(len(valid)), "it is damaged"),
    "torch's own": (lambda valid: valid.split(b"\n", 2)[2], "it is damaged"),
    "another format": (
        lambda valid: valid.replace(b"checkpoint 1\n", b"checkpoint 2\n", 1),
        "it has another format",
    ),
    "another torch": (with_identity("torch", "1.13"), "written with another torch (1.13)"),
    "another version": (with_identity("cnnsearch", "0.0"), "with another cnnsearch (0.0)"),
    "another processor": (with_identity("processor", "Z80"), "with another processor (Z80)"),
    "another config": (with_identity("config", "{}"), "it was written with another config"),
    "other images": (with_identity("data set", "abc"), "it was written with another data set"),
    "a pickle with code": (
        lambda _: headed(pickle.dumps(Code())),
        "something else than a checkpoint",
    ),
    "code in a zip": (zipped_code, "something else than a checkpoint"),
    "a list": (lambda _: signed([1, 2]), "something else than a checkpoint"),
    "another shape": (other_network, "it does not fit the network"),
    "no optimizer": (without("state", "optimizer"), "it does not fit the network"),
    "no generator": (without("state", "generator"), "it does not fit the network"),
    "no window": (without("state", "guard", "window"), "it does not fit the network"),
    "no curve": (without("curve"), "something else than a checkpoint"),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_what_cannot_be_used_is_not(
    spoilt: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, and the one before it; without one the run begins anew. The numbers are right."""
    monkeypatch.chdir(tmp_path)
    spoil, why = SPOILT[spoilt]
    config = all_of_it()
    attempt(config, 0, tmp_path, until=2)
    attempt(config, 1, tmp_path, until=3)
    good = (tmp_path / "1.pt").read_bytes()
    (tmp_path / "1.pt").write_bytes(spoil(good))
    capfd.readouterr()
    again = attempt(config, 2, tmp_path)
    first, second = capfd.readouterr().err.splitlines()
    assert first.startswith(f"checkpoint: {tmp_path / '1.pt'} is not used: ")
    assert why in first
    assert second == f"checkpoint: continues after epoch 2, from {tmp_path / '0.pt'}"
    assert continued_after(again) == 2
    assert timeless(again) == whole()
    for file in tmp_path.glob("*.pt"):
        file.write_bytes(spoil(good))
    again = attempt(config, 2, tmp_path)
    assert continued_after(again) is None
    assert timeless(again) == whole()
    assert not (tmp_path / "was run").exists()


def test_another_trials_is_not_used(tmp_path: Path) -> None:
    attempt(all_of_it(), 0, tmp_path, until=3)
    others = [
        replace(all_of_it(), seed=8),
        all_of_it(lr=0.04),
        all_of_it(epochs=EPOCHS + 1),
        replace(all_of_it(), diagnose=False),
        replace(all_of_it(), abort=Abort(check_every=8)),
        replace(all_of_it(), data=Data(name="digits", limit=299, crop=1, flip=True)),
    ]
    for other in others:
        assert continued_after(attempt(other, 1, tmp_path)) is None
        (tmp_path / "1.pt").unlink()
    same = replace(all_of_it(), study="renamed", device="auto")
    assert continued_after(attempt(same, 1, tmp_path)) == (None if torch.cuda.is_available() else 3)


def test_no_flipped_byte_goes_unseen(tmp_path: Path) -> None:
    """Of each byte of the two lines, and of many of the rest."""
    attempt(all_of_it(), 0, tmp_path, until=1)
    file = tmp_path / "0.pt"
    valid = file.read_bytes()
    told = loaded(valid)["identity"]
    checkpoint.read(file, told)
    draw = random.Random(0)
    places = [*range(120), *(draw.randrange(len(valid)) for _ in range(500))]
    for place in places:
        flipped = bytearray(valid)
        flipped[place] ^= 1 << draw.randrange(8)
        file.write_bytes(flipped)
        with pytest.raises(checkpoint.UnusableError):
            checkpoint.read(file, told)


def test_one_that_is_gone_is_not_worth_a_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    again = attempt(all_of_it(), 3, tmp_path)
    assert timeless(again) == whole()
    assert capfd.readouterr().err == ""


def test_an_earlier_attempts_file_is_not_touched(tmp_path: Path) -> None:
    attempt(all_of_it(), 0, tmp_path, until=2)
    before = (tmp_path / "0.pt").read_bytes()
    attempt(all_of_it(), 1, tmp_path, until=4)
    assert (tmp_path / "0.pt").read_bytes() == before


@pytest.mark.parametrize("cause", ["no folder", "a file for a folder", "a folder for the file"])
def test_what_cannot_be_written_costs_a_line(
    cause: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "trial"
    if cause == "a file for a folder":
        folder.write_text("")
    elif cause == "a folder for the file":
        (folder / "0.pt").mkdir(parents=True)
    told = attempt(all_of_it(), 0, folder)
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(f"checkpoint: {folder / '0.pt'} cannot be written, training goes on: ")
    last = told[-1]
    assert isinstance(last, Outcome)
    assert last.facts["checkpoint_error"] in line
    facts = {k: v for k, v in last.facts.items() if k != "checkpoint_error"}
    assert [*timeless(told[:-1]), replace(last, facts=facts)] == whole()


FULL = """
import resource, sys
from pathlib import Path
from tests.test_checkpoint import *
folder = Path(sys.argv[1])
attempt(all_of_it(), 0, folder, until=2)
size = (folder / "0.pt").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
told = attempt(all_of_it(), 1, folder)
print(told[-1].state, len(told), told[-1].facts["checkpoint_error"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env=dict(os.environ),
    )
    assert done.stdout.strip() == f"complete {EPOCHS + 2} File too large"
    told = done.stderr.splitlines()
    assert len(told) == 2
    assert "continues after epoch 2" in told[0]
    assert told[1].endswith("1.pt cannot be written, training goes on: File too large")
    assert [path.name for path in tmp_path.iterdir()] == ["0.pt"]
    assert continued_after(attempt(all_of_it(), 1, tmp_path)) == 2
