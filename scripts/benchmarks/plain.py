"""The script a user would write: Optuna over a PyTorch loop, after Optuna's own PyTorch example.

It knows nothing of cnnsearch's data, network and loop. What is compared is given in a file, so that
all do the same work; the rest is as such scripts are: torchvision's data sets and transforms, a
DataLoader, torch's own number of threads.

    python scripts/benchmarks/plain.py WORK.json RESULTS.json
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import optuna
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from cnnsearch import catalog
from cnnsearch.data.vision import dataset_class

# torchvision's wheel cannot be imported beside a CPU-only torch; this makes it so.
dataset_class(catalog.DATASETS["mnist"])
from torchvision import datasets, transforms  # noqa: E402

ACTIVATIONS = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "elu": nn.ELU,
}
MNIST = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
COLOUR = transforms.Compose(
    [
        transforms.ToTensor(),
        transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ]
)


class Maxout(nn.Module):
    """The larger of two linear pieces."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, 2 C, ...] -> [B, C, ...]."""
        first, second = x.chunk(2, dim=1)
        return torch.maximum(first, second)


class Decoded(Dataset[tuple[Tensor, int]]):
    """Images decoded once, then served as torchvision's CIFAR10 does: from an array, by PIL."""

    def __init__(self, folder: datasets.ImageFolder, wanted: list[int]) -> None:
        self.images = {index: folder[index] for index in wanted}

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.images[index]
        return COLOUR(Image.fromarray(image)), label


@lru_cache(maxsize=1)
def load(data: str, root: str, wanted: tuple[int, ...]) -> Any:
    """The training images: `mnist`, a `folder` of JPEG files, or the folder `decoded` in memory."""
    if data == "mnist":
        return datasets.MNIST(root, train=True, transform=MNIST)
    folder = Path(root) / "train"
    if data == "folder":
        return datasets.ImageFolder(folder, transform=COLOUR)
    import numpy as np

    return Decoded(datasets.ImageFolder(folder, transform=np.asarray), list(wanted))


def initialise(layer: nn.Conv2d | nn.Linear, init: str) -> None:
    """Draw a layer's weights; biases are 0."""
    fan_in = layer.weight[0].numel()
    if init == "zeros":
        nn.init.zeros_(layer.weight)
    elif init.startswith("normal:"):
        nn.init.normal_(layer.weight, std=float(init.removeprefix("normal:")))
    elif init == "xavier":
        nn.init.normal_(layer.weight, std=fan_in**-0.5)
    else:
        nn.init.kaiming_normal_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)


def make_model(
    work: dict[str, Any], shape: tuple[int, ...], params: dict[str, Any]
) -> nn.Sequential:
    """conv-[batch norm]-activation-pool for each conv layer, then the fully connected ones."""
    activation, batchnorm = params["activation"], params["batchnorm"]
    pieces = 2 if activation == "maxout" else 1
    chosen: Callable[[], nn.Module] = ACTIVATIONS.get(activation, Maxout)
    layers: list[nn.Module] = []
    channels, height, width = shape
    for outputs in work["conv"]:
        layers.append(nn.Conv2d(channels, outputs * pieces, 3, padding=1))
        if batchnorm:
            layers.append(nn.BatchNorm2d(outputs * pieces))
        layers += [chosen(), nn.MaxPool2d(2)]
        channels, height, width = outputs, height // 2, width // 2
    layers.append(nn.Flatten())
    features = channels * height * width
    for units in work["hidden"]:
        layers.append(nn.Linear(features, units * pieces))
        if batchnorm:
            layers.append(nn.BatchNorm1d(units * pieces))
        layers.append(chosen())
        features = units
    layers.append(nn.Linear(features, work["classes"]))
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            initialise(layer, params.get("init", "he"))
    return nn.Sequential(*layers)


def train(
    params: dict[str, Any], work: dict[str, Any], report: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Train one trial and report after each epoch what was done so far; returns the last report."""
    started = time.perf_counter()
    dataset = load(work["data"], work["root"], (*work["train"], *work["validation"]))
    train_loader = DataLoader(Subset(dataset, work["train"]), work["batch_size"], shuffle=True)
    validation_loader = DataLoader(Subset(dataset, work["validation"]), work["batch_size"])
    image, _ = dataset[work["train"][0]]
    model = make_model(work, image.shape, params)
    optimizer = torch.optim.SGD(model.parameters(), lr=params["lr"], momentum=0.9)
    trained = validated = 0
    done: dict[str, Any] = {}
    for epoch in range(work["epochs"]):
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            trained += len(labels)
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in validation_loader:
                correct += int((model(images).argmax(dim=1) == labels).sum())
                validated += len(labels)
        done = {
            "epochs": epoch + 1,
            "accuracy": correct / len(work["validation"]),
            "trained": trained,
            "validated": validated,
            "seconds": time.perf_counter() - started,
        }
        report(done)
    return done


def sampler(work: dict[str, Any]) -> optuna.samplers.BaseSampler:
    """The whole grid, or where points are given nothing but them."""
    if "points" in work:
        return optuna.samplers.RandomSampler(seed=0)
    return optuna.samplers.GridSampler(work["grid"], seed=0)


def main() -> None:
    """Search the grid, or the points that are given, and write what each trial did."""
    work = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    results, points = [], work.get("points", [])

    def objective(trial: optuna.Trial) -> float:
        params = {
            "lr": trial.suggest_float("lr", 1e-5, 10.0, log=True),
            **{
                name: trial.suggest_categorical(name, choices)
                for name, choices in work["grid"].items()
                if name != "lr"
            },
        }
        reached = []

        def report(done: dict[str, Any]) -> None:
            trial.report(done["accuracy"], done["epochs"])
            reached.append([time.time(), done["accuracy"]])

        done = train(params, work, report)
        results.append({"params": params, **done, **({"reached": reached} if points else {})})
        return float(done["accuracy"])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # No pruner: all contenders train every trial to its end.
    study = optuna.create_study(
        direction="maximize",
        sampler=sampler(work),
        pruner=optuna.pruners.NopPruner(),
    )
    for point in points:
        study.enqueue_trial(point)
    count = len(points) or math.prod(map(len, work["grid"].values()))
    study.optimize(objective, n_trials=count)
    Path(sys.argv[2]).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
