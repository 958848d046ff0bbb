"""`cnnsearch layers`: what becomes of a signal before training, as numbers and as a picture."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli
from cnnsearch.diagnose import at_start
from cnnsearch.preflight import layers
from cnnsearch.records import LayerProbe, Probe
from cnnsearch.render.histogram import bars, ends
from cnnsearch.render.text import clean
from tests.terminals import on_terminal

Capture = pytest.CaptureFixture[str]
LECTURE = str(Path(__file__).parent.parent / "configs" / "lecture-ten-layers.yaml")
SEARCH = """\
data: {name: digits}
model: {conv: [4], hidden: [16]}
search: {trials: 4}
space:
  init: [zeros, he]
  batchnorm: [false, true]
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def file(text: str = SEARCH) -> str:
    Path("small.yaml").write_text(text, encoding="utf-8")
    return "small.yaml"


def looked(capsys: Capture, *words: str) -> Any:
    capsys.readouterr()
    assert cli.run(["layers", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def printed(capsys: Capture, *words: str) -> str:
    capsys.readouterr()
    assert cli.run(["layers", *words]) == 0
    return capsys.readouterr().out


def network(document: Any, **wanted: Any) -> Any:
    [found] = [n for n in document["networks"] if wanted.items() <= n.items()]
    return found


# Standard deviation of the activations at layers 1, 5 and 10 (CS231n, lecture 6), and what one
# sees in them.
TEN_LAYERS = [
    ("normal:0.01", "tanh", (0.21355, 0.000533, 0.0), 0.02, "dies"),
    ("normal:1.0", "tanh", (0.98201, 0.98167, 0.98167), 0.02, "saturates"),
    ("xavier", "tanh", (0.62793, 0.32162, 0.22847), 0.02, "shrinks"),
    ("xavier", "relu", (0.58382, 0.14596, 0.02580), 0.2, "fades"),
    ("he", "relu", (0.82565, 0.82565, 0.82565), 0.2, "stays"),
]


@pytest.fixture(scope="module")
def lecture() -> Any:
    """What the verb prints of the lecture's file, with the lecture's inputs."""
    text = on_terminal(["-m", "cnnsearch", "layers", LECTURE, "--noise", "500", "--json"])
    return json.loads(text)


@pytest.mark.parametrize(("init", "activation", "told", "tolerance", "seen"), TEN_LAYERS)
def test_the_lectures_ten_layers(
    lecture: Any, init: str, activation: str, told: tuple[float, ...], tolerance: float, seen: str
) -> None:
    found = network(lecture, init=init, activation=activation)
    stds = [found["layers"][number - 1]["std"] for number in (1, 5, 10)]
    assert stds == pytest.approx(told, rel=tolerance, abs=1e-5)
    assert found["signal"] == seen
    assert len(found["layers"]) == 10


RELU = """\
data: {name: digits}
model: {conv: [], hidden: [500, 500, 500, 500, 500, 500, 500, 500, 500, 500]}
search: {sampler: grid}
space: {init: [xavier, he]}
"""


def test_ten_relu_layers_on_the_mean_of_20_seeds(capsys: Capture) -> None:
    documents = [looked(capsys, file(RELU), "--noise", "500", "-S", f"seed={k}") for k in range(20)]
    for init, _, told, _, _ in TEN_LAYERS[3:]:
        rows = [network(document, init=init)["layers"] for document in documents]
        for number, value in zip((1, 5, 10), told, strict=True):
            mean = statistics.mean(row[number - 1]["std"] for row in rows)
            assert mean == pytest.approx(value, rel=0.05)
        if init == "he":
            mean = statistics.mean(row[9]["mean"] for row in rows)
            assert mean == pytest.approx(0.56419, rel=0.05)


def test_the_other_two_explode_and_stay(lecture: Any) -> None:
    assert network(lecture, init="normal:1.0", activation="relu")["signal"] == "explodes"
    assert network(lecture, init="he", activation="tanh")["signal"] == "stays"
    saturated = network(lecture, init="normal:1.0", activation="tanh")["layers"]
    assert all(layer["saturated"] > 0.85 and layer["dead"] is None for layer in saturated)


def test_a_histogram_holds_every_value_and_shows_where_they_are(lecture: Any) -> None:
    for found in lecture["networks"]:
        low, high = found["range"]
        middles = [low + (high - low) * (i + 0.5) / 64 for i in range(64)]
        for layer in found["layers"]:
            assert sum(layer["histogram"]) == pytest.approx(1)
            mean = sum(m * share for m, share in zip(middles, layer["histogram"], strict=True))
            assert mean == pytest.approx(layer["mean"], abs=(high - low) / 64)
    died = network(lecture, init="normal:0.01", activation="tanh")["layers"][9]["histogram"]
    assert sum(died[31:33]) == 1, "one range for all layers: what died is a spike at 0"


@pytest.mark.parametrize(
    ("last", "seen"),
    [(0.009, "dies"), (0.011, "fades"), (0.04, "fades"), (0.06, "shrinks"), (0.3, "stays"),
     (2.0, "grows"), (9.9, "grows"), (10.1, "explodes")],
)  # fmt: skip
def test_the_words_go_with_the_verdict_bad_init(last: float, seen: str) -> None:
    """What `layers` calls dying or exploding is what the rule calls so, and the other way round."""
    rows = [
        LayerProbe(f"hidden{k}", 100, 0.0, std, None, None, 0.1)
        for k, std in enumerate((0.5, last), 1)
    ]
    found = at_start(Probe(2.3, (*rows, LayerProbe("classifier", 10, 0.0, 1.0, None, None, 0.1))))
    assert layers.seen(rows) == seen
    assert [one.rule for one in found] == (["bad-init"] if seen in ("dies", "explodes") else [])
    assert not found or ("dies" in found[0].message) == (seen == "dies")


class TestImages:
    def test_the_training_images_go_through(self, capsys: Capture) -> None:
        document = looked(capsys, file())
        assert document["inputs"]["from"] == "digits"
        assert document["inputs"]["count"] == 1000
        assert document["inputs"]["shape"] == [1, 8, 8]
        assert document["combinations"] == len(document["networks"]) == 4
        zeros = network(document, init="zeros", batchnorm=False)
        assert zeros["signal"] == "none"
        assert [layer["dead"] for layer in zeros["layers"]] == [1, 1]
        assert zeros["scores"] == {"mean": 0, "std": 0}
        assert network(document, init="he", batchnorm=True)["signal"] == "stays"

    def test_a_single_run(self, capsys: Capture) -> None:
        text = printed(capsys, file("data: {name: digits}\nmodel: {conv: [], hidden: [16]}\n"))
        assert "init he, activation relu, batchnorm false: the signal stays: std" in text
        assert "last std" not in text, "no table of networks where there is one"

    def test_no_layer_at_all(self, capsys: Capture) -> None:
        text = printed(capsys, file(), "-S", "conv=[]", "-S", "hidden=[]")
        assert text.count("no layer before the classifier") == 4

    def test_a_sample_of_many(self, capsys: Capture) -> None:
        many = SEARCH + "  activation: [sigmoid, tanh, relu, elu, silu]\n"
        assert cli.run(["layers", file(many), "--json"]) == 0
        told = capsys.readouterr()
        assert "12 of 20 networks, all choices among them" in told.err
        shown = json.loads(told.out)["networks"]
        assert len(shown) == 12
        assert {n["activation"] for n in shown} == {"sigmoid", "tanh", "relu", "elu", "silu"}
        assert len(looked(capsys, file(many), "--all")["networks"]) == 20

    def test_what_else_is_searched_is_said(self, capsys: Capture) -> None:
        more = SEARCH + "  kernel: [5, 3]\n  dropout: [0.5, 0.0]\n  lr: [0.1, 0.2]\n"
        assert cli.run(["layers", file(more)]) == 0
        assert "here always kernel 5\n" in capsys.readouterr().err

    def test_a_signal_that_is_not_finite(self, capsys: Capture) -> None:
        words = ["-S", "conv=[]", "-S", f"hidden={[8] * 4}", "-S", "batchnorm=false"]
        text = printed(capsys, file("data: {name: digits}\nmodel: {init: 'normal:1e15'}\n"), *words)
        assert "the signal overflows: hidden" in text
        assert "nan" in text

    def test_the_same_numbers_twice(self, capsys: Capture) -> None:
        assert looked(capsys, file()) == looked(capsys, file())


class TestNoise:
    FOLDER = "data: {name: image_folder, root: nowhere}\nmodel: {conv: [4], hidden: [8]}\n"

    def test_no_image_is_read(self, capsys: Capture) -> None:
        document = looked(capsys, file(self.FOLDER), "--noise", "3x12x10")
        assert document["inputs"]["from"] == "noise"
        assert document["inputs"]["shape"] == [3, 12, 10]
        assert document["inputs"]["std"] == pytest.approx(1, rel=0.01)

    def test_the_size_of_the_images(self, capsys: Capture) -> None:
        mnist = "data: {name: mnist, root: nowhere}\nmodel: {conv: [4], hidden: [8]}\n"
        assert looked(capsys, file(mnist), "--noise")["inputs"]["shape"] == [1, 28, 28]
        assert cli.run(["layers", file(self.FOLDER), "--noise"]) == 2
        assert "nowhere does not exist" in capsys.readouterr().err

    @pytest.mark.parametrize("size", ["3x2", "0", "a", "3x-2x2", "1x2x3x4"])
    def test_no_size(self, size: str, capsys: Capture) -> None:
        assert cli.run(["layers", file(), f"--noise={size}"]) == 2
        assert f"--noise {size}: is no size" in capsys.readouterr().err

    def test_what_does_not_fit_is_said_once(self, capsys: Capture) -> None:
        assert cli.run(["layers", file(), "--noise", "500"]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("--noise 1x1x500: conv layer 1: the image is 1x500 there")


class TestPicture:
    def test_what_one_sees_comes_first(self, capsys: Capture) -> None:
        text = printed(capsys, file(RELU), "--noise", "500").splitlines()
        assert text[0] == "small, before any training: 1,000 inputs of N(0, 1), 500 values, std 1"
        assert text[2].startswith("init xavier: the signal fades: std 0.5")
        assert text[2].endswith(" over 10 layers")
        assert text[3].split()[:4] == ["layer", "mean", "std", "dead"]
        assert [line.split()[0] for line in text[4:14]] == [f"hidden{k}" for k in range(1, 11)]
        assert [line.split()[1] for line in text[-2:]] == ["fades", "stays"]

    @pytest.mark.parametrize("columns", [60, 80, 160])
    def test_it_fits_on_a_terminal(self, columns: int) -> None:
        text = on_terminal(["-m", "cnnsearch", "layers", file()], columns, NO_COLOR="1")
        assert max(len(clean(line)) for line in text.splitlines()) <= columns
        assert "█" in text
        assert "Too narrow" not in text

    def test_ascii(self) -> None:
        text = on_terminal(
            ["-m", "cnnsearch", "layers", file()], LC_ALL="C", PYTHONUTF8="0", NO_COLOR="1"
        )
        assert text.isascii()
        assert "@" in text

    def test_bars(self) -> None:
        assert bars([0.0, 1.0, 0.25, 1e-9], 4) == "·█▄▁"
        assert bars([0.25, 0.25, 0.5, 0.0], 2) == "██"
        assert bars([0.0, 0.0], 2) == "··"
        assert ends("-1", "12.5", 10) == "-1    12.5"


def test_large_images_are_fewer(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """So that the layers of a network fit into memory."""
    monkeypatch.setattr("cnnsearch.preflight.layers._MOST_VALUES", 20_000)
    assert 2 <= looked(capsys, file())["inputs"]["count"] < 100
