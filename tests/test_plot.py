"""The verb plot: files of three formats, what stands in the figures, and figures as text."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text
from PIL import Image

from cnnsearch import catalog, cli
from cnnsearch.commands.plot import FORMATS, OVERVIEW, read_pictured
from cnnsearch.plot import paper
from cnnsearch.plot.kinds import KINDS
from cnnsearch.plot.page import page
from cnnsearch.plot.pictured import Asked
from cnnsearch.records import EpochResult, Outcome, State
from cnnsearch.space import Choice, Condition, Range, Space
from tests.builders import write_digits
from tests.studies import Told, complete, curve, ended, multiply, write_study
from tests.verbs import Found
from tests.waiting import until

MIXED: Space = {
    "lr": Range(1e-5, 10.0, log=True),
    "optimizer": Choice(("sgd", "adam")),
    "momentum": Range(0.0, 0.99, when=(Condition("optimizer", ("sgd",)),)),
    "conv": Choice(([16], [32, 64], [])),
    "batchnorm": Choice((True, False)),
    "batch_size": Range(16, 128, integer=True, log=True),
}
NAN = EpochResult(2, 0.1, math.inf, 0.1, math.nan, 0.1, 0.5)
STARTS = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}
Call = Callable[..., Found]
ROOT = Path(__file__).parents[1]


def mixed(k: int, **more: Any) -> dict[str, Any]:
    """A point of `MIXED`; momentum is there in every second one only."""
    sgd = {"momentum": k / 40} if k % 2 else {}
    return {
        "lr": 10.0 ** (-5 + k / 5), "optimizer": "sgd" if k % 2 else "adam", **sgd,
        "conv": ([16], [32, 64], [])[k % 3], "batchnorm": k % 4 < 2, "batch_size": 16 + k, **more,
    }  # fmt: skip


def told() -> tuple[Told, ...]:
    """24 complete trials, 2 pruned, 3 diverged (one with a curve), 1 failed, 1 attempt lost."""
    facts = {"first_loss": math.nan, "fold_deviation": 0.02}
    return (
        *(complete(0.3 + k / 40, mixed(k)) for k in range(23)),
        Told(mixed(23), Outcome(State.COMPLETE, None, facts), curve(0.5)),
        Told(mixed(3), Outcome(State.PRUNED, "not promising"), curve(0.2, 1)),
        Told(mixed(8), Outcome(State.PRUNED, "not promising"), curve(0.4, 2)),
        Told(mixed(26), Outcome(State.DIVERGED, "nan", facts), (*curve(0.1, 1), NAN)),
        ended(State.DIVERGED, "loss nan", mixed(27), loss=math.inf),
        ended(State.DIVERGED, "loss nan", mixed(28), loss=math.nan),
        ended(State.FAILED, "RuntimeError: $x^2$", mixed(29), traceback="Traceback"),
        Told(mixed(2), Outcome(State.KILLED, "its worker died"), point=30),
        Told(mixed(2), Outcome(State.COMPLETE), curve(0.3), point=30, attempt=2),
    )


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mixed`, see `told`; `lost`, all diverged; `one`, one trial; `trained`, two real ones."""
    folder = tmp_path_factory.mktemp("plot")
    path = folder / "studies.db"
    write_study(path, "mixed", told(), MIXED)
    lost = tuple(ended(State.DIVERGED, "nan", {"lr": 10.0**k}) for k in range(-3, 1))
    write_study(path, "lost", lost, {"lr": Range(1e-5, 10.0, log=True)})
    write_study(path, "one", (complete(0.5, {"lr": 0.1}),), {"lr": Range(1e-3, 1.0)})
    file = write_digits(folder, search="search: {trials: 2, objective: val_loss}")
    assert cli.run(["run", str(file), "-j", "0", "--name", "trained", "--storage", str(path)]) == 0
    return path


@pytest.fixture
def call(
    storage: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Call:  # fmt: skip
    """Run the program on the storage, in an empty folder, without a display."""
    monkeypatch.setenv("CNNSEARCH_STORAGE", str(storage))
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Found:
        code = cli.run(["plot", *arguments])
        captured = capsys.readouterr()
        return Found(code, captured.out, captured.err)

    return run


def figure(storage: Path, kind: str, *references: str, **asked: Any) -> Figure:
    """The figure of a kind; it is drawn once, so that all its texts are there."""
    pictured = read_pictured(str(storage), references or ("mixed",), [kind])
    drawn = page(pictured, [kind], Asked(**asked))
    paper.saved(drawn, "svg")
    return drawn


def texts(figure: Figure) -> list[str]:
    return [text for one in figure.findobj(Text) if (text := one.get_text())]


def marks(axes: Axes, state: State) -> Collection:
    found = [c for c in axes.collections if c.get_label() == str(state)]
    assert len(found) == 1
    return found[0]


def places(axes: Axes, state: State) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(marks(axes, state).get_offsets())]


def legend_of(figure: Figure | SubFigure) -> list[str]:
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


class TestFiles:
    @pytest.mark.parametrize(
        ("kind", "form"), list(zip([k for k in KINDS if k != "layers"], cycle(FORMATS)))
    )
    def test_every_kind_and_every_format(self, call: Call, kind: str, form: str) -> None:
        file = Path(f"a.{form}")
        found = call("mixed", "-k", kind, "-o", str(file))
        assert (found.code, found.out, found.err) == (0, "", f"Wrote {file}.\n")
        content = file.read_bytes()
        assert content.startswith(STARTS[form])
        if form == "png":
            with Image.open(file) as image:
                image.load()
                assert min(image.size) > 300
        if form == "svg":
            root = ET.fromstring(content.decode())
            assert len(root.findall(".//{http://www.w3.org/2000/svg}text")) > 5

    def test_equal_trials_give_equal_files(self, call: Call) -> None:
        """In another process too, where sets have another order."""
        kinds = [word for kind in ("curves", "map") for word in ("-k", kind)]
        code = (
            "import sys; from cnnsearch import cli\n"
            "for form in ('png', 'svg', 'pdf'):\n"
            "    assert cli.run([*sys.argv[1:], '-o', f'b.{form}']) == 0"
        )
        environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code, "plot", "mixed", *kinds]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        for form in FORMATS:
            assert call("mixed", *kinds, "-o", f"a.{form}").code == 0
            assert Path(f"a.{form}").read_bytes() == Path(f"b.{form}").read_bytes()

    def test_layers_of_a_real_trial(self, call: Call, storage: Path) -> None:
        found = call("trained", "-k", "layers", "-o", "layers.svg")
        assert found.code == 0
        assert found.err.startswith("layers: of trial ")
        text = Path("layers.svg").read_text()
        for word in ("conv1", "hidden1", "before training", "after epoch 2", "activation"):
            assert f">{word}" in text
        assert "200 training images" in text
        drawn = figure(storage, "layers", "trained", "0")
        bars = [axes for axes in drawn.get_axes() if len(axes.patches) == 64]
        assert [axes.get_title(loc="left") for axes in bars] == ["conv1", "hidden1"]
        for axes in bars:
            heights = [patch.get_height() for patch in axes.patches]  # type: ignore[attr-defined]
            assert sum(heights) == pytest.approx(1)

    def test_histograms_after_training_where_weights_are_kept(
        self, tmp_path: Path, call: Call, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """In the colour of what was measured after training; told where the folder is gone."""
        sections = {"train": "train: {epochs: 2}\ncheckpoint: {keep: last}", "  lr": "  lr: [0.1]"}
        file = write_digits(tmp_path, **sections)
        own = str(tmp_path / "own.db")
        words = ["--name", "kept", "-n", "1", "--storage", own]
        assert cli.run(["run", str(file), "-j", "0", *words]) == 0
        capsys.readouterr()
        assert call("kept", "-k", "layers", "--storage", own).err == "Wrote kept-layers.png.\n"
        drawn = figure(Path(own), "layers", "kept", "0")
        bars = [axes for axes in drawn.get_axes() if len(axes.patches) == 64]
        assert [axes.get_title(loc="left") for axes in bars] == 2 * ["conv1", "hidden1"]
        titles = [text for text in texts(drawn) if text.startswith("activations ")]
        assert [title.split(",")[0] for title in titles] == [
            "activations before training",
            "activations after epoch 2",
        ]
        colours = [axes.patches[0].get_facecolor() for axes in bars]
        assert colours[0] == colours[1] != colours[2] == colours[3]
        heights = [[patch.get_height() for patch in axes.patches] for axes in bars]  # type: ignore[attr-defined]
        assert heights[0] != heights[2]
        weights = Path("runs/kept/0/weights.pt")
        whole = weights.read_bytes()
        weights.write_bytes(whole[:100])
        found = call("kept", "-k", "layers", "--storage", own, "-o", "damaged.png")
        assert found.err.startswith("layers: without histograms after training. ")
        assert found.err.endswith("is damaged.\nWrote damaged.png.\n")
        weights.write_bytes(whole)
        Path("runs").rename("elsewhere")
        found = call("kept", "-k", "layers", "--storage", own, "--force")
        assert found.err.startswith("layers: without histograms after training. kept/0: no runs/")
        assert found.code == 0

    def test_a_page_by_itself_and_with_two_kinds(self, call: Call) -> None:
        assert call("mixed").err == "Wrote mixed-overview.png.\n"
        assert call("mixed", "-k", "map", "-k", "progress").err == "Wrote mixed-map-progress.png.\n"
        assert call("mixed", "-x", "lr").err == "Wrote mixed-param.png.\n"
        assert call("mixed", "-x", "lr", "-y", "conv").err == "Wrote mixed-map.png.\n"
        assert call("mixed", "-k", "curves").err == "Wrote mixed-curves.png.\n"
        assert call("mixed", "top:3").err == "Wrote mixed-trials-curves.png.\n"
        assert call("mixed/1").err.startswith("mixed-trials-curves.png: exists.")
        assert len(list(Path().iterdir())) == 6

    @pytest.mark.parametrize("study", ["lost", "one", "trained"])
    def test_small_studies(self, call: Call, study: str) -> None:
        """No complete trial, one trial, one hyperparameter."""
        kinds = [word for kind in KINDS if kind not in ("importance", "layers")
                 for word in ("-k", kind)]  # fmt: skip
        assert call(study, *kinds, "-k", "importance", "-o", "all.png").code == 0

    def test_settings_of_the_user_neither_count_nor_change(self, call: Call) -> None:
        call("one", "-k", "curves", "-o", "a.svg")
        with mpl.rc_context({"font.size": 30, "axes.grid": True, "lines.linewidth": 9}):
            before = dict(mpl.rcParams)
            call("one", "-k", "curves", "-o", "b.svg")
            assert dict(mpl.rcParams) == before
        assert Path("a.svg").read_bytes() == Path("b.svg").read_bytes()

    def test_many_trials(self, tmp_path: Path, call: Call) -> None:
        """2,000 curves are pixels, with words beside them; the file stays small."""
        path = tmp_path / "many.db"
        write_study(path, "many", told(), MIXED)
        multiply(path, 2000)
        assert call("many", "--storage", str(path), "-k", "curves", "-o", "many.svg").code == 0
        content = Path("many.svg").read_text()
        assert "<image" in content
        assert ">epoch<" in content
        assert len(content) < 400_000


class TestFigures:
    def test_the_tables_agree(self) -> None:
        assert list(KINDS) == list(catalog.FIGURES)
        assert set(OVERVIEW) < set(KINDS)
        assert paper.FORMATS == FORMATS

    def test_states_differ_in_more_than_colour(self) -> None:
        looks = paper.LOOKS.values()
        assert set(paper.LOOKS) == set(State)
        assert len({look.mark for look in looks}) == len(State)
        assert len({(look.dashes, look.hollow) for look in looks}) >= 5
        assert len(set(paper.COLOURS)) == len(paper.MARKS) == 8

    def test_curves(self, storage: Path) -> None:
        drawn = figure(storage, "curves")
        loss, accuracy = drawn.get_axes()
        assert loss.get_ylabel() == "validation loss (cross-entropy, nats)"
        assert accuracy.get_ylabel() == "validation accuracy (0 to 1)"
        assert accuracy.get_xlabel() == "epoch"
        lines = {c.get_label(): len(c.get_segments()) for c in accuracy.collections
                 if isinstance(c, LineCollection)}  # fmt: skip
        # The killed attempt was run again, two diverged and one failed have no epoch.
        assert lines == {"complete": 25, "pruned": 2, "diverged": 1, "failed": 0}
        # A loss that is not finite is left out: the mark stands at the last one that is.
        ends = [np.asarray(c.get_offsets()).tolist() for c in loss.collections
                if isinstance(c, PathCollection)]  # fmt: skip
        assert [[1.0, 2.5]] in ends
        assert legend_of(drawn) == [
            "best: trial 22", "complete (25)", "pruned (2)",
            "diverged (3, 2 of them within the first epoch)",
            "failed (1, 1 of them within the first epoch)",
        ]  # fmt: skip

    def test_curves_of_a_few_trials_have_marks_and_their_training(self, storage: Path) -> None:
        drawn = figure(storage, "curves", "mixed", "top:2", "26")
        loss, _ = drawn.get_axes()
        assert [line.get_marker() for line in loss.lines] == ["o", "None", "s", "None", "^", "None"]
        assert loss.get_ylabel() == "loss (cross-entropy, nats)"
        assert legend_of(drawn) == [
            "trial 22 (complete)", "trial 21 (complete)", "trial 26 (diverged)", "validation",
            "training",
        ]  # fmt: skip

    def test_one_measure(self, storage: Path) -> None:
        [axes] = figure(storage, "curves", y="train_accuracy").get_axes()
        assert axes.get_ylabel() == "training accuracy (0 to 1)"

    def test_values_by_a_hyperparameter(self, storage: Path) -> None:
        drawn = figure(storage, "param", x="lr")
        [axes] = drawn.get_axes()
        assert (axes.get_xlabel(), axes.get_xscale()) == ("lr", "log")
        assert axes.get_ylabel() == "validation accuracy (0 to 1)"
        assert len(places(axes, State.COMPLETE)) == 25
        # A pruned trial stands where its curve had come to.
        assert [y for _, y in places(axes, State.PRUNED)] == pytest.approx([0.2, 0.4])
        across = [x for x, _ in places(axes, State.DIVERGED)]
        assert across == pytest.approx([mixed(k)["lr"] for k in (26, 27, 28)])
        assert {y for _, y in places(axes, State.DIVERGED)} == {0.0}
        diverged = marks(axes, State.DIVERGED)
        assert diverged.get_offset_transform() == axes.get_xaxis_transform()
        assert not diverged.get_clip_on()
        assert "diverged (3): on the axis" in legend_of(drawn)

    def test_the_worst_loss_is_at_the_top(self, storage: Path) -> None:
        pictured = read_pictured(str(storage), ["lost"], ["param"])
        drawn = page(pictured, ["param"], Asked())
        assert {y for _, y in places(drawn.get_axes()[0], State.DIVERGED)} == {0.0}
        turned = type(pictured)("lost", pictured.trials, pictured.config, "minimize")
        drawn = page(turned, ["param"], Asked())
        assert {y for _, y in places(drawn.get_axes()[0], State.DIVERGED)} == {1.0}
        assert "no trial has a value" in texts(drawn)

    def test_a_panel_for_each_that_varies(self, storage: Path) -> None:
        drawn = figure(storage, "param")
        labels = [axes.get_xlabel() for axes in drawn.get_axes()]
        assert labels == [
            "lr", "optimizer", "momentum\n16 trials have none", "conv (channels of each layer)",
            "batchnorm", "batch_size (images)",
        ]  # fmt: skip
        written = texts(drawn)
        assert {"[16]", "[32, 64]", "[]", "true", "false", "sgd", "adam"} <= set(written)
        assert "standard deviation over folds" in written
        assert not any("mathdefault" in text for text in written)

    @pytest.mark.parametrize("kind", ["param", "curves"])
    def test_colour_by_a_hyperparameter(self, storage: Path, kind: str) -> None:
        drawn = figure(storage, kind, color="batchnorm")
        assert [one.get_title().get_text() for one in drawn.legends] == ["batchnorm"]
        assert {"true", "false"} <= set(legend_of(drawn))
        drawn = figure(storage, kind, color="lr")
        assert drawn.get_axes()[-1].get_ylabel() == "lr"
        assert "0.001" in texts(drawn)

    def test_map(self, storage: Path) -> None:
        drawn = figure(storage, "map", x="momentum", y="conv")
        axes, bar = drawn.get_axes()
        assert (axes.get_xlabel(), axes.get_ylabel()) == (
            "momentum",
            "conv (channels of each layer)",
        )
        assert bar.get_ylabel() == "validation accuracy (0 to 1), bright is better"
        colours = marks(axes, State.COMPLETE)
        assert isinstance(colours, PathCollection)
        assert colours.get_cmap().name == "viridis"
        assert len(places(axes, State.COMPLETE)) == 12
        assert "16 trials have only one of the two, or none" in texts(drawn)

    def test_parallel(self, storage: Path) -> None:
        drawn = figure(storage, "parallel")
        written = texts(drawn)
        assert {"lr (log)", "conv", "val_accuracy", "[32, 64]", "none", "no value"} <= set(written)
        [lines] = [c for c in drawn.get_axes()[0].collections
                   if isinstance(c, LineCollection) and c.get_label() == "complete"]  # fmt: skip
        paths = lines.get_segments()
        assert len(paths) == 25
        assert {len(path) for path in paths} == {7}
        assert sum(path[2][1] < 0 for path in paths) == 13  # without momentum: under the axis

    def test_progress(self, storage: Path) -> None:
        by_trials, by_epochs = figure(storage, "progress").get_axes()
        [steps] = [line for line in by_trials.lines if line.get_label() == "best so far"]
        heights = np.asarray(steps.get_ydata())
        assert heights[:3] == pytest.approx([0.3, 0.325, 0.35])
        assert heights.max() == pytest.approx(0.85)
        assert by_epochs.get_xlabel() == "epochs trained by then"
        assert len(places(by_trials, State.DIVERGED)) == 3

    def test_importance(self, storage: Path) -> None:
        drawn = figure(storage, "importance")
        [axes] = drawn.get_axes()
        assert axes.get_xlabel() == "share of all importances (PED-ANOVA), with 95 % interval"
        names = [text.get_text() for text in axes.get_yticklabels()]
        assert names[-1] == "lr"
        widths = [patch.get_width() for patch in axes.patches]  # type: ignore[attr-defined]
        assert widths == sorted(widths)
        assert len(names) == len(widths)

    def test_hidden_trials_are_not_drawn(self, tmp_path: Path) -> None:
        path = tmp_path / "hidden.db"
        write_study(path, "hidden", told()[:4], MIXED)
        assert cli.run(["hide", "hidden", "3", "--storage", str(path)]) == 0
        assert len(read_pictured(str(path), ["hidden"], ["curves"]).trials) == 3
        assert len(read_pictured(str(path), ["hidden", "3"], ["curves"]).trials) == 1


BAD: Sequence[tuple[tuple[str, ...], str]] = [
    (("mixed", "-o", "a.jpg"), "-o a.jpg: ends in .jpg. Write .png, .svg or .pdf."),
    (("mixed", "-o", "a"), "-o a: has no ending. Write .png, .svg or .pdf."),
    (("mixed", "-o", "no/a.png"), "no/a.png: no folder no."),
    (("mixed", "-x", "lrr"), "-x lrr: no such name. Did you mean lr?"),
    (("mixed", "-x", "learning_rate"), "-x learning_rate: no such name. Did you mean lr?"),
    (("mixed", "-k", "map", "-y", "val_loss"), "-y val_loss: no such name. Write one of: lr, "),
    (("mixed", "-k", "curves", "-x", "lr"), "-x lr: curves takes no -x. Write -k param or -k map."),
    (("mixed", "-k", "map", "--color", "lr"), "--color lr: map takes no --color."),
    (("mixed", "-x", "lr", "-y", "lr"), "-x lr -y lr: a map takes two hyperparameters."),
    (("mixed", "-k", "curves", "--color", "trial"), "cannot be told apart by colours."),
    (("mixed/1", "lost/1"), "a picture holds the trials of one study."),
    (("lost", "-k", "layers"), "Write for example: cnnsearch plot lost 0 -k layers."),
    (("one", "-k", "importance"), "importance takes 20."),
    (("mixed", "-k", "map", "--show"), "Write: cnnsearch plot mixed -k map -o mixed-map.png"),
    (("mixed", "-k", "importance", "--show"), "Write: cnnsearch importance mixed"),
    (("nothing",), "no study 'nothing'"),
]


class TestMistakes:
    @pytest.mark.parametrize(("words", "said"), BAD, ids=lambda one: str(one)[:40])
    def test_one_line_and_nothing_written(
        self, call: Call, words: tuple[str, ...], said: str
    ) -> None:
        found = call(*words)
        assert (found.code, found.out) == (2, "")
        assert said in found.err
        assert found.err.count("\n") == 1
        assert not list(Path().iterdir())

    def test_a_file_is_not_overwritten(self, call: Call) -> None:
        Path("a.png").write_bytes(b"mine")
        found = call("one", "-k", "curves", "-o", "a.png")
        assert found.code == 2
        assert "a.png: exists. Write --force" in found.err
        assert Path("a.png").read_bytes() == b"mine"
        assert call("one", "-k", "curves", "-o", "a.png", "--force").code == 0
        assert call("one", "-k", "curves", "-o", "a.png").code == 0  # the same: nothing is lost
        assert call("one", "-k", "progress", "-o", "a.png").code == 2

    def test_without_matplotlib(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        found = call("mixed")
        assert found.code == 2
        assert "pip install 'cnnsearch[plot]'" in found.err
        assert found.err.count("\n") == 1

    def test_a_study_without_trials(self, tmp_path: Path, call: Call) -> None:
        path = tmp_path / "empty.db"
        write_study(path, "empty", (), MIXED)
        assert "study empty has no trials yet." in call("empty", "--storage", str(path)).err


class TestShow:
    def test_as_text_without_a_display(self, call: Call) -> None:
        found = call("mixed", "--show")
        assert found.code == 0
        assert "validation accuracy (0 to 1) by epoch" in found.out
        assert "best val_accuracy so far, by trials ended" in found.out
        assert "val_accuracy by lr (log scale)" in found.out
        assert "diverged (on the axis)" in found.out
        assert found.err == (
            "importance: no text, and there is no display. Write: cnnsearch importance mixed\n"
        )
        assert max(map(len, found.out.splitlines())) <= 80
        assert not list(Path().iterdir())

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("mixed", "-x", "conv"), "[32, 64]"),
            (("mixed", "-x", "momentum"), "0.495"),
            (("mixed", "top:2"), "trial 22"),
            (("lost",), "no trial has finished an epoch"),
            (("lost", "-k", "progress"), "no trial is complete"),
            (("lost", "-x", "lr"), "no trial has a value"),
            (("one", "-x", "lr"), "val_accuracy by lr"),
        ],
        ids=str,
    )
    def test_what_the_text_holds(self, call: Call, words: tuple[str, ...], said: str) -> None:
        found = call(*words, "--show")
        assert found.code == 0
        assert said in found.out

    def test_text_needs_no_matplotlib(self, storage: Path) -> None:
        code = (
            "import sys; sys.modules['matplotlib'] = None; from cnnsearch import cli;"
            "sys.exit(cli.run(['plot', 'mixed', '-k', 'param', '--show']))"
        )
        environment = {**os.environ, "CNNSEARCH_STORAGE": str(storage), "DISPLAY": ""}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "val_accuracy by lr" in done.stdout

    def test_text_and_a_file(self, call: Call) -> None:
        found = call("one", "-k", "curves", "--show", "-o", "a.pdf")
        assert found.code == 0
        assert "by epoch" in found.out
        assert found.err == "Wrote a.pdf.\n"

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have no xdg-open")
    def test_a_viewer_is_started(self, storage: Path, tmp_path: Path) -> None:
        viewer = tmp_path / "xdg-open"
        viewer.write_text(
            f'#!/bin/sh\necho "$1" > {tmp_path}/part; mv {tmp_path}/part {tmp_path}/seen\n'
        )
        viewer.chmod(0o755)
        environment = {**os.environ, "DISPLAY": ":7", "CNNSEARCH_STORAGE": str(storage)}
        environment["PYTHONPATH"] = str(ROOT)
        command = [sys.executable, "-m", "cnnsearch", "plot", "one", "-k", "curves", "--show"]
        path = f"{tmp_path}:{os.environ['PATH']}"
        done = subprocess.run(
            command, env={**environment, "PATH": path}, cwd=tmp_path, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, "")
        until((tmp_path / "seen").exists, "the viewer")
        assert (tmp_path / "seen").read_text() == f"{tmp_path / 'one-curves.png'}\n"

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have no xdg-open")
    def test_no_viewer(self, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
        monkeypatch.setenv("PATH", str(tmp_path))
        found = call("one", "-k", "curves", "--show")
        assert found.code == 0
        assert found.err.endswith("No viewer was found. Open one-curves.png yourself.\n")
