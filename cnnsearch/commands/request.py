"""From the words of a command line to a search that is asked for."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from cnnsearch.commands.options import given_storage, has_password
from cnnsearch.config import Config, duration, is_study_name, study_name
from cnnsearch.errors import InputError
from cnnsearch.running.library import load_config, requested
from cnnsearch.running.searching import Request
from cnnsearch.running.workers import LocalWorkers, RayWorkers, Workers


def again() -> str:
    """The command itself, for the one who is told how to continue.

    With the storage of its environment, unless that has a password: a study keeps this, and another
    shell would begin a new study in the default storage.
    """
    context = click.get_current_context()
    words, storage = ["cnnsearch", *context.obj], str(context.params.get("storage"))
    of_shell = context.get_parameter_source("storage") is ParameterSource.ENVIRONMENT
    if of_shell and not has_password(storage):
        words += ["--storage", storage]
    return shlex.join(words)


def read_request(
    file: str,
    trials: int | None,
    name: str | None,
    sets: Sequence[str],
    storage: str,
) -> Request:
    """Read and check a file with what the command line says of it."""
    if name is not None and not is_study_name(name):
        raise InputError(f"--name: {name!r} is no study name. Write --name {study_name(name)}.")
    named = [*sets, f"study={name}"] if name is not None else sets
    config = load_config(file, named, trials)
    found = requested(config, file, sets, storage, trials, again(), LocalWorkers())
    return replace(found, storage_words=given_storage())


def with_options(
    request: Request,
    jobs: int | None,
    timeout: str | None,
    trial_timeout: str | None,
    storage_patience: str,
    retry: str | None,
    watched: bool = False,
    **ray: Any,
) -> Request:
    """With what the command line says of how the search is to run."""
    given: dict[str, Any] = {}
    if timeout is not None:
        given["timeout_s"] = seconds("--timeout", timeout)
    if trial_timeout is not None:
        given["trial_timeout_s"] = seconds("--trial-timeout", trial_timeout)
    return replace(
        request,
        workers=workers_of(request.config, jobs, **ray),
        patience_s=seconds("--storage-patience", storage_patience),
        retry_failed=retry == "failed",
        watched=watched,
        **given,
    )


def workers_of(
    config: Config,
    jobs: int | None,
    on_ray: bool,
    ray_address: str | None,
    cpus_per_trial: float | None,
    gpus_per_trial: float | None,
) -> Workers:
    """Where the command line says that trials run.

    Raises:
        InputError: options that do not go together.
    """
    if not on_ray:
        given = {
            "--ray-address": ray_address,
            "--cpus-per-trial": cpus_per_trial,
            "--gpus-per-trial": gpus_per_trial,
        }
        for option, value in given.items():
            if value is not None:
                raise InputError(f"{option}: it is of a Ray cluster. Write --ray too.")
        return LocalWorkers(jobs)
    if jobs == 0:
        raise InputError("-j 0: that is without workers. Leave it out, or leave out --ray.")
    for option, share in (("--cpus", cpus_per_trial), ("--gpus", gpus_per_trial)):
        if share is not None and share > 1 and share != int(share):
            raise InputError(f"{option}-per-trial {share:g}: above 1 write a whole number.")
    gpus = gpus_per_trial or 0.0
    if config.device not in ("auto", "cuda" if gpus else "cpu"):
        fit = "cuda" if gpus else "cpu, or give --gpus-per-trial"
        raise InputError(
            f"device: {config.device}: on Ray a trial has the devices that it is given. "
            f"Write auto or {fit}."
        )
    address = ray_address or os.environ.get("RAY_ADDRESS")
    cpus = float(config.threads) if cpus_per_trial is None else cpus_per_trial
    return RayWorkers(jobs, address, cpus, gpus)


def seconds(option: str, text: str) -> float:
    """What an option says, such as 90s.

    Raises:
        InputError: it is no duration.
    """
    try:
        return duration(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None
