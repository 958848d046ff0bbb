"""Networks, data sets, activations and init schemes of the user's own, from files."""

from __future__ import annotations

import json
import math
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cnnsearch import cli, load_config, own, read_study, runner
from cnnsearch.data import load
from cnnsearch.errors import DataError, InputError
from cnnsearch.executors.attempt import attempt
from cnnsearch.model import layer_table
from cnnsearch.probe import Prober
from cnnsearch.records import Checkpointing, EpochResult, Outcome, State, Task
from cnnsearch.study.resuming import check_resume
from tests.builders import write_digits

Capture = pytest.CaptureFixture[str]
NET = """
    import torch
    import torch.nn as nn
    from beside import WIDTH

    class MyNet(nn.Module):
        def __init__(self, shape, classes, hidden=(16,), activation=nn.ReLU, dropout=0.0):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.conv = nn.Conv2d(shape[0], WIDTH, 3, padding=1)
            self.norm = nn.BatchNorm2d(WIDTH)
            self.act = activation()
            self.drop = nn.Dropout(dropout)
            self.hidden = nn.Linear(WIDTH * shape[1] * shape[2], hidden[0])
            self.act2 = activation()
            self.out = nn.Linear(hidden[0], classes)

        def forward(self, x):
            x = self.act(self.norm(self.conv(x)) * self.scale)
            return self.out(self.act2(self.hidden(self.drop(x.flatten(1)))))

    def bad(shape, classes):
        raise RuntimeError("not today")

    def wide(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes + 1))

    def number(shape, classes):
        return 1

    class Conv(nn.Module):
        def __init__(self, shape, classes):
            super().__init__()
            self.one = nn.Conv2d(shape[0], 6, 3)
            self.act = nn.ReLU()
            self.two = nn.Conv2d(6, classes, 1)

        def forward(self, x):
            return self.two(self.act(self.one(x))).mean((2, 3)) * 3

    def function(shape, classes):
        class Function(nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = nn.Parameter(torch.zeros(classes, shape[1] * shape[2]))

            def forward(self, x):
                return nn.functional.linear(x.flatten(1), self.weight)

        return Function()

    def wanting(shape, classes, depth):
        return None

    NOTHING = 3
    """
DATA = """
    import numpy as np

    def pair(root):
        draws = np.random.default_rng(0)
        labels = draws.integers(0, 4, 240)
        images = draws.integers(0, 60, (240, 6, 6)).astype(np.uint8)
        images[np.arange(240), labels] += 150
        with open("calls.txt", "a") as file:
            file.write("called\\n")
        return (images, labels), (images[:40], labels[:40])

    class Items:
        classes = ("zero", "one")
        def __len__(self):
            return 60
        def __getitem__(self, i):
            return np.full((4, 4, 3), i % 2, dtype=np.float32), i % 2

    def items(root):
        return Items(), None

    def missing(root):
        raise FileNotFoundError("no images there")
    def alone(root):
        return 1
    def unequal(root):
        return (np.zeros((3, 4, 4), np.uint8), [0, 1]), None
    def negative(root):
        return (np.zeros((3, 4, 4), np.uint8), [0, 1, -1]), None
    def loud(root):
        return (np.full((3, 4, 4), 7.5), [0, 1, 1]), None
    def ragged(root):
        return ([np.zeros((3, 4), np.uint8), np.zeros((4, 4), np.uint8)], [0, 1]), None
    def deep(root):
        return (np.zeros((3, 4, 4), np.int64), [0, 1, 1]), None
    """
OTHERS = """
    import torch
    from torch import nn

    class Square(nn.Module):
        def forward(self, x):
            return x.clamp(-2, 2) ** 2

    class Slope(nn.Module):
        def __init__(self):
            super().__init__()
            self.slope = nn.Parameter(torch.empty(1))

    class Noisy(nn.Module):
        def forward(self, x):
            return torch.relu(x + torch.randn_like(x) * 0.1)

    def function(x):
        return x

    def tiny(weight, generator):
        weight.normal_(0.0, 1e-3, generator=generator)
    """


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(textwrap.dedent(NET))
    (tmp_path / "images.py").write_text(textwrap.dedent(DATA))
    (tmp_path / "others.py").write_text(textwrap.dedent(OTHERS))
    (tmp_path / "beside.py").write_text("WIDTH = 6\n")


def write(folder: Path, model: str, space: str = "  lr: [0.05]\n", **lines: str) -> Path:
    """A search on digits with another model section and space."""
    file = write_digits(folder, model=f"model: {model}", **lines)
    head = file.read_text().partition("space:\n")[0]
    file.write_text(f"{head}space:\n{space}")
    return file


class TestNetworks:
    def test_a_search_over_what_it_takes(self, tmp_path: Path, capsys: Capture) -> None:
        space = "  lr: [0.05]\n  hidden: [[8], [16]]\n  activation: [relu, tanh]\n"
        file = write(tmp_path, "{module: net.py:MyNet, dropout: 0.2}", space)
        file.write_text(file.read_text().replace("sampler: random, trials: 6", "sampler: grid"))
        assert cli.run(["run", str(file), "-j", "2"]) == 0
        study = read_study("digits")
        assert [trial.state for trial in study.trials] == [State.COMPLETE] * 4
        assert all(trial.diagnosis is not None for trial in study.trials)
        whole = study.trial(0)
        probe = whole.curve[-1].probe
        assert probe is not None
        assert [layer.name for layer in probe.layers] == ["conv", "hidden", "classifier"]
        dies = {"relu": [True, True, False], "tanh": [False] * 3}[str(whole.params["activation"])]
        assert [layer.dead is not None for layer in probe.layers] == dies
        assert whole.facts["environment"]["net.py"] == own.digests(["net.py:MyNet"])["net.py"]
        capsys.readouterr()
        assert cli.run(["rerun", "digits", "top:2", "--verify", "-j", "1"]) == 0
        assert "identical" in capsys.readouterr().out
        assert cli.run(["check", str(file)]) == 0
        said = capsys.readouterr().out
        assert "conv" in said
        assert "BatchNorm2d" in said

    def test_scores_that_are_not_those_of_its_last_layer(self, tmp_path: Path) -> None:
        """A network of convolutions: the loss that is looked at is that of its scores."""
        config = load_config(write(tmp_path, "{module: net.py:Conv}")).at({"lr": 0.05}, seed=0)
        *_, result, outcome = runner.run(config)
        assert isinstance(outcome, Outcome)
        assert outcome.state is State.COMPLETE
        assert isinstance(result, EpochResult)
        assert result.probe is not None
        assert [layer.name for layer in result.probe.layers] == ["one", "classifier"]
        assert result.probe.layers[1].units == 10
        assert result.probe.loss == pytest.approx(result.train_loss, rel=0.3)

    def test_it_goes_on_from_a_checkpoint(self, tmp_path: Path) -> None:
        """With the draws of its dropout, as if it had not been broken off."""
        file = write(tmp_path, "{module: net.py:MyNet, dropout: 0.5}")
        config = load_config(file, ["epochs=4"]).at({"lr": 0.05}, seed=3)
        losses = [r.train_loss for r in runner.run(config) if isinstance(r, EpochResult)]
        first = Checkpointing(1, str(tmp_path / "one.pt"))
        for result in runner.run(config, checkpoints=first):
            if isinstance(result, EpochResult) and result.epoch == 2:
                break
        torch.manual_seed(99)
        second = Checkpointing(1, str(tmp_path / "two.pt"), (first.file,))
        found = list(runner.run(config, checkpoints=second))
        assert isinstance(found[-1], Outcome)
        assert found[-1].facts["continued_after"] >= 1
        assert [r.train_loss for r in found if isinstance(r, EpochResult)] == losses

    def test_a_file_that_changes_while_the_search_runs(self, tmp_path: Path) -> None:
        config = load_config(write(tmp_path, "{module: net.py:MyNet}")).at({"lr": 0.05}, seed=0)
        begun = own.digests(config.own_names())
        Path("net.py").write_text(Path("net.py").read_text() + "\n# changed\n")
        task = Task(0, config.plain(), str(tmp_path), own_files=begun)
        [[message]] = list(attempt([task]))
        assert isinstance(message.content, Outcome)
        assert message.content.state is State.FAILED
        assert message.content.reason == (
            "net.py: is another than when the study began. Bring it back."
        )

    def test_equal_seeds_equal_numbers(self, tmp_path: Path) -> None:
        file = write(tmp_path, "{module: net.py:MyNet, dropout: 0.5}")
        config = load_config(file).at({"lr": 0.05}, seed=3)
        losses = []
        for noise in (1, 2):
            torch.manual_seed(noise)
            found = [r for r in runner.run(config) if isinstance(r, EpochResult)]
            losses.append([r.train_loss for r in found])
        assert losses[0] == losses[1]
        other = [r for r in runner.run(config.at({}, 4)) if isinstance(r, EpochResult)]
        assert [r.train_loss for r in other] != losses[0]

    def test_a_look_changes_nothing(self, tmp_path: Path) -> None:
        """Neither running averages nor draws: with and without it are the same numbers."""
        file = write(tmp_path, "{module: net.py:MyNet, dropout: 0.5}")
        curves = []
        for sets in ([], ["diagnose=false"]):
            config = load_config(file, sets).at({"lr": 0.05}, seed=0)
            found = [r for r in runner.run(config) if isinstance(r, EpochResult)]
            curves.append([(r.train_loss, r.val_loss) for r in found])
        assert curves[0] == curves[1]

    def test_its_init(self, tmp_path: Path) -> None:
        """Its own, unless the file names a scheme."""
        file = write(tmp_path, "{module: net.py:MyNet}")
        assert load_config(file).model.init == "own"
        config = load_config(file, ["init=zeros"]).at({"lr": 0.05}, seed=0)
        images = load(config.data)

        class Inputs:
            shape, classes = images.shape, len(images.classes)

            def probe(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
                return torch.zeros(2, *images.shape), torch.zeros(2, dtype=torch.int64)

        network = runner.make_network(config, Inputs(), torch.device("cpu"))
        weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        assert not any(weight.any() for weight in weights)
        assert network.get_parameter("scale").item() == 1
        drawn = runner.make_network(load_config(file).at({}, 0), Inputs(), torch.device("cpu"))
        assert drawn.get_parameter("conv.weight").any()

    def test_its_layers_and_a_network_of_functions(self, tmp_path: Path) -> None:
        section = load_config(write(tmp_path, "{module: net.py:MyNet}")).model
        rows = layer_table(section, (1, 8, 8), 10)
        names = ["conv", "norm", "act", "drop", "hidden", "act2", "out", "rest"]
        assert [row.name for row in rows] == names
        assert rows[-1].parameters == 1
        assert rows[0].shape == (6, 8, 8)

        class Functional(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.one, self.two = nn.Linear(64, 8), nn.Linear(8, 10)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                scores: torch.Tensor = self.two(torch.relu(self.one(x.flatten(1))))
                return scores

        batch = (torch.rand(20, 1, 8, 8), torch.arange(20) % 10)
        probe = Prober(Functional(), None, batch).look()
        assert [layer.name for layer in probe.layers] == ["one", "classifier"]
        assert probe.layers[0].dead is None
        assert math.isfinite(probe.loss)

    @pytest.mark.parametrize(
        ("model", "told"),
        [
            ("{module: gone.py:MyNet}", "gone.py: No such file or directory. A path is taken"),
            ("{module: gone.py:MyNet}", ".yaml:3: model.module: gone.py:MyNet: /"),
            ("{module: net.py:Net}", ": model.module: net.py:Net: the file defines no Net. It has"),
            ("{module: net.py}", "Write FILE.py:NAME, such as net.py:MyNet."),
            ("{module: net.py:bad}", "net.py:bad: RuntimeError: not today"),
            ("{module: net.py:wide}", "net.py:wide: gives [2, 11] for 2 images, not [2, 10]."),
            ("{module: net.py:number}", "net.py:number: gives int, and not a torch.nn.Module."),
            ("{module: net.py:wanting}", "its parameter depth is no field of model. Give it a"),
            ("{module: net.py:function}", "calls no nn.Conv2d and no nn.Linear"),
            ("{module: net.py:NOTHING}", "net.py:NOTHING: is no class and no function."),
            ("{module: net.py:MyNet, init: lsuv}", "init: lsuv needs the built-in network."),
            ("{init: own}", "own is of a network of your own, in model.module."),
        ],
    )
    def test_mistakes(self, model: str, told: str, tmp_path: Path, capsys: Capture) -> None:
        file = write(tmp_path, model)
        assert cli.run(["run", str(file), "-j", "0"]) == 2
        assert told in capsys.readouterr().err
        assert not Path("cnnsearch.db").exists()

    def test_a_hyperparameter_that_it_does_not_take(self, tmp_path: Path, capsys: Capture) -> None:
        file = write(tmp_path, "{module: net.py:MyNet}", "  kernel: [3, 5]\n")
        assert cli.run(["run", str(file), "-j", "0"]) == 2
        assert "space.kernel: net.py:MyNet takes no kernel." in capsys.readouterr().err

    def test_a_file_with_an_error(self, tmp_path: Path, capsys: Capture) -> None:
        (tmp_path / "wrong.py").write_text("x = 1\n\ny = z\n")
        (tmp_path / "wronger.py").write_text("x = (\n")
        for name, line in (("wrong", "line 3: NameError"), ("wronger", "line 1: SyntaxError")):
            file = write(tmp_path, f"{{module: {name}.py:Net}}")
            assert cli.run(["run", str(file), "-j", "0"]) == 2
            assert line in capsys.readouterr().err

    def test_a_search_goes_on_with_the_same_file_only(self, tmp_path: Path) -> None:
        file = write(tmp_path, "{module: net.py:MyNet}", "  lr: [0.05, 0.01]\n")
        assert cli.run(["run", str(file), "-j", "0", "-n", "1"]) == 0
        code = Path("net.py").read_text()
        Path("net.py").write_text(code + "\n# changed\n")
        with pytest.raises(InputError, match=r"was started with another net\.py"):
            check_resume("cnnsearch.db", load_config(file))
        Path("net.py").write_text(code)
        assert cli.run(["run", str(file), "-j", "0", "-n", "2"]) == 0

    def test_reading_a_study_executes_nothing(self, tmp_path: Path, capsys: Capture) -> None:
        file = write(tmp_path, "{module: net.py:MyNet}")
        assert cli.run(["run", str(file), "-j", "0", "-n", "1"]) == 0
        Path("net.py").unlink()
        for words in (
            ["list"],
            ["list", "digits"],
            ["show", "digits", "0"],
            ["diagnose", "digits"],
        ):
            assert cli.run(words) == 0, words
        capsys.readouterr()
        assert cli.run(["export", "digits", "0"]) == 0
        assert f"module: {tmp_path}/net.py:MyNet" in capsys.readouterr().out.replace('"', "")


class TestData:
    def config(self, name: str) -> list[str]:
        return ["-S", f"data.name={name}", "-S", "limit=null"]

    def test_a_search(self, tmp_path: Path, capsys: Capture) -> None:
        """The function is called once a command, not once a worker."""
        file = write_digits(
            tmp_path, data="data: {name: images.py:pair}", model="model: {conv: []}"
        )
        words = ["run", str(file), "-j", "2", "-S", "epochs=8"]
        assert cli.run(words) in (0, 3)
        assert Path("calls.txt").read_text() == "called\n"
        study = read_study("digits")
        assert {t.facts["classes"] for t in study.attempts} == {4}
        assert study.best is not None
        assert study.best.value is not None
        assert study.best.value > 0.5
        capsys.readouterr()
        assert cli.run(["test", "digits", "best"]) == 0

    def test_items(self) -> None:
        images = load(load_config({"study": "x", "data": {"name": "images.py:items"}}).data)
        assert images.classes == ("zero", "one")
        assert images.shape == (3, 4, 4)
        assert images.train.max() == 255
        assert images.test is None
        assert np.array_equal(images.train[1], np.full((3, 4, 4), 255))

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("missing", "images.py:missing: FileNotFoundError: no images there"),
            ("alone", "returns no pair. Return train, test (or None)."),
            ("unequal", r"images \[3, 4, 4\] and labels \[2\] do not fit"),
            ("negative", "labels are whole numbers from 0 on"),
            ("loud", "images of floats have values of 0 to 1"),
            ("deep", "images are int64. Give uint8"),
            ("ragged", "images.py:ragged: ValueError: "),
            ("nothing", "the file defines no nothing"),
        ],
    )
    def test_mistakes(self, name: str, told: str) -> None:
        section = load_config({"study": "x", "data": {"name": f"images.py:{name}"}}).data
        with pytest.raises(DataError, match=told.replace("(or None)", r"\(or None\)")):
            load(section)


class TestActivationsAndInits:
    def test_one_that_draws(self, tmp_path: Path) -> None:
        """From the trial's seed; and a look at it changes no number."""
        file = write(tmp_path, "{conv: [8], hidden: [16], activation: others.py:Noisy}")
        curves: list[list[tuple[float, float]]] = []
        for sets in ([], [], ["diagnose=false"]):
            torch.manual_seed(len(curves))
            config = load_config(file, sets).at({"lr": 0.05}, seed=0)
            found = [r for r in runner.run(config) if isinstance(r, EpochResult)]
            curves.append([(r.train_loss, r.val_loss) for r in found])
        assert curves[0] == curves[1] == curves[2]

    def test_beside_those_of_the_tables(self, tmp_path: Path, capsys: Capture) -> None:
        space = (
            "  lr: [0.05]\n  activation: [relu, others.py:Square]\n"
            "  init: [he, others.py:tiny, normal:0.01]\n"
        )
        file = write(tmp_path, "{conv: [8], hidden: [16], batchnorm: true}", space)
        file.write_text(file.read_text().replace("sampler: random, trials: 6", "sampler: grid"))
        assert cli.run(["run", str(file), "-j", "1"]) == 0
        study = read_study("digits")
        assert len(study.trials) == 6
        own_one = next(
            t for t in study.trials
            if t.params["activation"] == "others.py:Square" and t.params["init"] == "others.py:tiny"
        )  # fmt: skip
        probe = study.trial(own_one.number).probe
        assert probe is not None
        assert [layer.name for layer in probe.layers] == ["conv1", "hidden1", "classifier"]
        capsys.readouterr()
        assert cli.run(["list", "digits", "--json"]) == 0
        told = {row["params"]["activation"] for row in json.loads(capsys.readouterr().out)}
        assert told == {"relu", "others.py:Square"}

    @pytest.mark.parametrize(
        ("model", "told"),
        [
            ("{activation: others.py:function}", "is no class of torch.nn.Module. Write one."),
            ("{activation: others.py:Slope}", "has values of its own and no reset_parameters"),
            ("{activation: others.py:Gone}", "the file defines no Gone"),
            ("{activation: swisch}", "unknown activation 'swisch'"),
            ("{init: gone.py:tiny}", ".yaml:3: model.init: gone.py:tiny: /"),
        ],
    )
    def test_mistakes(self, model: str, told: str, tmp_path: Path, capsys: Capture) -> None:
        assert cli.run(["run", str(write(tmp_path, model)), "-j", "0"]) == 2
        assert told in capsys.readouterr().err

    def test_all_files_that_are_missing_are_told(self, tmp_path: Path, capsys: Capture) -> None:
        space = "  lr: [0.05]\n  activation: [relu, 'a.py:A', 'b.py:B']\n"
        file = write(tmp_path, "{init: gone.py:tiny}", space)
        assert cli.run(["check", str(file)]) == 2
        lines = capsys.readouterr().err.splitlines()
        starts = ["space.activation: a.py:A: /", "space.activation: b.py:B: /", "model.init: gone"]
        assert len(lines) == len(starts)
        for line, start in zip(lines, starts, strict=True):
            assert line.startswith(f"{file}:")
            assert start in line
