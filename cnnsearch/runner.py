"""One trial: from a resolved config to its outcome."""

from __future__ import annotations

import hashlib
import math
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from cnnsearch.checkpoint import Checkpoints, identity, log
from cnnsearch.config.config import Config
from cnnsearch.data import Images, TrialData, load, prepare, root_of
from cnnsearch.data.readings import add_reading
from cnnsearch.environment import cpu_name, environment
from cnnsearch.errors import CnnsearchError, DataError, InputError, in_one_line
from cnnsearch.fused import Member
from cnnsearch.guard import Diverged, DivergenceGuard
from cnnsearch.model import Dropout, build, draw_weights, initialise, own
from cnnsearch.own import digests, is_own
from cnnsearch.probe import Prober
from cnnsearch.process import settle
from cnnsearch.records import Checkpointing, EpochResult, Outcome, Prepared, State
from cnnsearch.train import Progress, evaluate, train
from cnnsearch.weights import Weights

INIT_IMAGES = 256
"""Images that init schemes may look at."""
PROBE_IMAGES = 128
"""Images that the network is looked at with, before its training and after each epoch."""
# The images found last, by where they are and what they should be.
_found: dict[tuple[object, ...], Images] = {}


class Inputs(Protocol):
    """What a network is made for, and some of it to look at: a `TrialData`, or noise."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        ...

    @property
    def classes(self) -> int:
        """Their number."""
        ...

    def probe(self, count: int) -> tuple[Tensor, Tensor]:
        """At most `count` images [B, C, H, W] on the device, and their labels [B]."""
        ...


def run(
    config: Config,
    test: bool = False,
    fingerprint: str | None = None,
    fold: int = 0,
    whole: bool = False,
    checkpoints: Checkpointing | None = None,
) -> Iterator[Prepared | EpochResult | Outcome]:
    """Run one trial: what it begins with, its epochs as they end, and last how it ended.

    Of a trial with several folds this is one fold, with a seed of its own.

    Equal configs give equal numbers to the last digit, on a CPU with the same number of threads.
    What the facts hold once a loss was read: `first_loss` (before any update, without
    regularisation).

    Args:
        test: after the last epoch read the test set once, which is counted; the facts then hold
            `test_loss`, `test_accuracy`, `test_images` and `test_readings`.
        fingerprint: of the images that are expected; None takes what is there.
        fold: of several folds that which is validated on, from 0.
        whole: train on the validation split too; epochs then have nan for what is measured on it.
        checkpoints: of epochs that an earlier attempt has trained what it measured is yielded
            again, as far as its checkpoint came, and the others are trained.

    Raises:
        CnnsearchError: the user's input is wrong (InputError, DataError); not a trial's failure.
    """
    settle(config.threads, config.train)
    device = resolve_device(config.device)
    facts: dict[str, Any] = {}
    try:
        images = expected_images(config, fingerprint)
        data = prepare(images, config.data, device, fold, whole)
        training = _Training(_seeded(config, fold), data, fold, checkpoints)
        yield from _trial(training, test, facts)
    except Diverged as lost:
        outcome = diverged(lost, facts)
    except CnnsearchError:
        raise
    except Exception as error:  # a defect of the trial ends the trial, not the search
        outcome = _failed(error, facts)
    else:
        outcome = Outcome(State.COMPLETE, None, facts)
    yield outcome


def resolve_device(name: str) -> torch.device:
    """The device of a config; auto is the first there is of cuda, mps, cpu.

    Raises:
        InputError: the device is not there.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    device = torch.device(name)
    if device.type == "mps" and not mps:
        raise InputError("device: mps is not there. Write auto or cpu.")
    if device.type == "cuda" and not cuda:
        raise InputError(f"device: {name} is not there, torch finds no GPU. Write auto or cpu.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise InputError(f"device: {name} is not there, the last one is cuda:{last}. Write that.")
    return device


def processor(device: torch.device) -> str:
    """What computes: the GPU, or the CPU with the instructions that torch uses of it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, {torch.backends.cpu.get_cpu_capability()}"


def expected_images(config: Config, fingerprint: str | None) -> Images:
    """The images of a config.

    Those that were expected are looked for on the disk once a process, not once a trial: to list
    the 60,000 files of CIFAR-10 as a folder took 0.6 s beside the 3.2 s of a short trial.

    Raises:
        DataError: they are others than expected, or cannot be read.
    """
    section = config.data
    place = (section.name, root_of(section), str(section.size), section.channels, fingerprint)
    if place in _found:
        return _found[place]
    images = load(section, expected=fingerprint)
    if fingerprint not in (None, images.fingerprint):
        raise DataError("the images in data.root are others than when the study began.")
    if fingerprint is not None:
        _found.clear()
        _found[place] = images
    return images


def _seeded(config: Config, fold: int) -> Config:
    """With the seed of a fold: were it the same for all, their spread would be too small."""
    if config.data.folds == 1:
        return config
    return config.at({}, _derived(config.seed, f"fold {fold}"))


@dataclass(frozen=True, eq=False)
class _Training:
    """What is trained: a trial, or a fold of it."""

    config: Config
    data: TrialData
    fold: int
    checkpoints: Checkpointing | None


def _trial(
    training: _Training, test: bool, facts: dict[str, Any]
) -> Iterator[Prepared | EpochResult]:
    """Train the trial's network, adding to `facts` what becomes known."""
    config, data = training.config, training.data
    # Asked for at once, though read last: a missing test set is told before any training.
    tests = data.test_batches() if test else None
    one = make_member(config, data)
    begun = prepared(config, data, one)
    yield begun
    try:
        if training.checkpoints is None:
            yield from train(one.model, data, one.section, one.guard, one.generator, one.prober)
        else:
            told = identity(config, begun.environment, training.fold)
            kept = Checkpoints(training.checkpoints, told)
            weights = Weights(training.checkpoints.weights, one.model)
            yield from _kept(one, data, kept, weights, facts)
    finally:
        facts["first_loss"] = one.guard.first_loss
    if tests is not None:
        facts["test_readings"] = add_reading(data.images.fingerprint)
        facts["test_images"] = data.test_size
        facts["test_loss"], facts["test_accuracy"] = evaluate(
            one.model, tests, config.train.precision
        )


def _kept(
    one: Member, data: TrialData, kept: Checkpoints, weights: Weights, facts: dict[str, Any]
) -> Iterator[EpochResult]:
    """Train with checkpoints: the epochs of an earlier attempt come first, as it told them.

    At the end its weights are written, where they are to be kept.
    """
    progress = Progress(one.model, one.section, one.guard, one.generator)
    curve = _taken_over(progress, kept, weights, facts)
    yield from curve
    for result in train(
        one.model, data, one.section, one.guard, one.generator, one.prober, progress
    ):
        curve.append(result)
        weights.look(result)
        # Before it is told, so that an epoch which the coordinator knows of is not trained again.
        if kept.due(result.epoch, one.section.epochs):
            kept.keep(curve, progress.state() | weights.state())
            facts |= {} if kept.error is None else {"checkpoint_error": kept.error}
        yield result
    facts |= weights.write(progress.epoch)


def _taken_over(
    progress: Progress, kept: Checkpoints, weights: Weights, facts: dict[str, Any]
) -> list[EpochResult]:
    """Go on from the latest checkpoint that fits, if there is any; the epochs before it."""
    for file, found in kept.earlier():
        try:
            progress.restore(found.state)
        except ValueError:
            log(f"{file} is not used: it does not fit the network")
            continue
        log(f"continues after epoch {progress.epoch}, from {file}")
        weights.restore(found.state, found.curve)
        facts["continued_after"] = progress.epoch
        facts["earlier_seconds"] = math.fsum(result.seconds for result in found.curve)
        return list(found.curve)
    return []


def make_member(config: Config, data: TrialData) -> Member:
    """What is trained: the network as it begins, and what watches it.

    Raises:
        InputError: a layer does not fit.
    """
    model = make_network(config, data, data.device)
    return Member(
        model,
        config.train,
        DivergenceGuard(data.classes, config.abort.loss_ratio, config.abort.check_every),
        Generator().manual_seed(_derived(config.seed, "order")),
        make_prober(config, data, model) if config.diagnose else None,
    )


def prepared(config: Config, data: TrialData, member: Member, fused: int = 1) -> Prepared:
    """What is known of a trial before its first step.

    Args:
        fused: how many trials train together, this one among them.
    """
    device = data.device
    return Prepared(
        device=str(device),
        classes=data.classes,
        parameters=sum(parameter.numel() for parameter in member.model.parameters()),
        training_images=data.train_size,
        validation_images=data.validation_size,
        chance=data.chance(),
        probe=member.prober.look() if member.prober is not None else None,
        environment=environment(
            str(device), processor(device), config.threads, data.images.fingerprint, fused
        )
        | digests(config.own_names()),
    )


def diverged(lost: Diverged, facts: dict[str, Any]) -> Outcome:
    """The outcome of a trial that its guard ended, with what else is known of it."""
    told = {"step": lost.step, "epoch": lost.epoch, "loss": lost.loss, "limit": lost.limit}
    return Outcome(State.DIVERGED, lost.reason, {**facts, **told})


def make_network(config: Config, data: Inputs, device: torch.device) -> nn.Module:
    """Build and initialise the network; on the meta device first, so that nothing is drawn twice.

    Raises:
        InputError: a layer does not fit, or the user's own network cannot be made.
    """
    if config.model.module is not None or is_own(config.model.activation):
        # Whatever it draws while it is trained, such as dropout, comes from torch's own generators.
        torch.manual_seed(_derived(config.seed, "training"))
    if config.model.module is not None:
        return _own_network(config, data, device)
    with torch.device("meta"):
        model = build(config.model, data.shape, data.classes)
    # `to_empty` does the same and imports sympy for it: 0.5 s of each process.
    tensors = model.state_dict().items()
    empty = {name: torch.empty(t.shape, dtype=t.dtype, device=device) for name, t in tensors}
    model.load_state_dict(empty, assign=True)
    if device.type == "cpu":
        # Convolutions of oneDNN are faster this way, see `cnnsearch.model.network`.
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = Generator().manual_seed(_derived(config.seed, "weights"))
    initialise(model, config.model.init, weights, data.probe(INIT_IMAGES)[0])
    for name, layer in model.named_children():
        if isinstance(layer, Dropout):
            layer.reset_parameters(_derived(config.seed, f"dropout {name}"))
    return model


def _own_network(config: Config, data: Inputs, device: torch.device) -> nn.Module:
    """A network of the user's own, with the draws of its seed."""
    seed = _derived(config.seed, "weights")
    network = own.build(config.model, data.shape, data.classes, seed)
    if not own.draws_itself(config.model):
        draw_weights(network, config.model.init, Generator().manual_seed(seed))
    network = network.to(device)
    if device.type == "cpu":
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def make_prober(config: Config, data: Inputs, model: nn.Module) -> Prober:
    """What looks at a network of this config."""
    return Prober(model, activation_of(config), data.probe(PROBE_IMAGES))


def activation_of(config: Config) -> str | None:
    """The activation function of a config's network; None of one of the user's own."""
    return config.model.activation if config.model.module is None else None


def _derived(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose, so that one stream does not shift another."""
    digest = hashlib.sha256(f"{purpose} {seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device, or this machine, has no memory left; torch says so in several ways."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _failed(error: Exception, facts: dict[str, Any]) -> Outcome:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    message = in_one_line(error)
    if is_out_of_memory(error):
        facts["out_of_memory"] = True
    facts |= {
        "type": type(error).__name__,
        "error": message,
        "where": f"{Path(frame.filename).name}:{frame.lineno}",
        "traceback": "".join(traceback.format_exception(error)),
    }
    return Outcome(State.FAILED, message, facts)
