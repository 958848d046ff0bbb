"""Running the stages of a file, one after the other, from wherever they stand."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnsearch import __version__, ranking
from cnnsearch.config import Config, from_plain, to_yaml
from cnnsearch.drafts import write_whole
from cnnsearch.errors import InputError
from cnnsearch.interruption import Interruption
from cnnsearch.records import State, StudySummary, Trial
from cnnsearch.render import output
from cnnsearch.render.narrow import (
    best_line,
    evidence_comment,
    head,
    say_evidence,
    stage_line,
    stage_text,
)
from cnnsearch.render.summary import saved_text
from cnnsearch.render.talk import say
from cnnsearch.render.text import counted, measure
from cnnsearch.render.trials import trial_object
from cnnsearch.review.narrowing import Narrowing
from cnnsearch.review.next_step import Step
from cnnsearch.review.savings import Savings, savings
from cnnsearch.running import searching
from cnnsearch.running.places import check_family, check_place
from cnnsearch.running.searching import Found, Request
from cnnsearch.stages import Chain, plan_lines
from cnnsearch.study import attributes, read
from cnnsearch.study.location import study_folder
from cnnsearch.study.resuming import check_resume

if TYPE_CHECKING:
    from cnnsearch.preflight import Preflight


@dataclass(frozen=True)
class _Stage:
    """A stage whose config is known.

    Args:
        narrowing: None of the first, and of one that has begun.
    """

    number: int
    request: Request
    narrowing: Narrowing | None = None


@dataclass(frozen=True)
class FoundChain:
    """A chain after it was run, as far as it came.

    Args:
        stages: those that were run, or were found done, in order.
        file: the config of the best trial of the last stage, once that has ended.
    """

    family: str
    stages: Sequence[Found]
    file: Path | None
    code: int

    def document(self) -> dict[str, Any]:
        """What `run --json` prints."""
        best = _over_all(self.stages)
        return {
            "study": self.family,
            "stages": [one.document() for one in self.stages],
            "best": None if best is None else {"study": best[0].name, **trial_object(best[1])},
            "file": None if self.file is None else str(self.file),
        }


def run(request: Request) -> FoundChain:
    """Run what remains of a chain; its last word names the best trial and the final file."""
    chain = Chain(request.config)
    _check_begun(request, chain)
    found: list[Found] = []
    with request.workers.begun():
        readies = _examined(request, chain)
        with Interruption() as interruption:
            code = _run_stages(request, chain, readies, interruption, found)
    complete = [one for one in found if one.summary.best is not None]
    final = None
    if code == 0 and len(found) == chain.length and not found[-1].left:
        final = _write_best(chain, found[-1])
    for line in _closing(request, chain, found, final, interruption.happened()):
        say(line)
    return FoundChain(chain.family, found, final, code if complete or code else 3)


def current(request: Request) -> Request:
    """The stage that would run now, after the plan of all is told."""
    chain = Chain(request.config)
    _check_begun(request, chain)
    for line in plan_lines(chain):
        say(line)
    before: Request | None = None
    for number in range(1, chain.length + 1):
        before = _stage(request, chain, number, before).request
        if searching.waiting(before):
            break
    assert before is not None
    return before


def _run_stages(
    request: Request,
    chain: Chain,
    readies: Sequence[Preflight],
    interruption: Interruption,
    found: list[Found],
) -> int:
    """Run the stages in order; the exit code of the one that stopped the chain, else 0.

    Args:
        found: gets what each stage gave.
    """
    end = None if request.timeout_s is None else time.monotonic() + request.timeout_s
    before: Request | None = None
    for number, ready in enumerate(readies, 1):
        stage = _stage(request, chain, number, before)
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            return 0
        before = replace(stage.request, timeout_s=left)
        found.append(_run_stage(chain, replace(stage, request=before), ready, interruption))
        if interruption.happened():
            return interruption.exit_code
        if found[-1].code or found[-1].left or found[-1].stopped:
            return found[-1].code
        if found[-1].closed:
            request = replace(request, watched=False)
    return 0


def _run_stage(chain: Chain, stage: _Stage, ready: Preflight, interruption: Interruption) -> Found:
    request = stage.request
    if not searching.waiting(request) and _begun(request.storage, request.config.study):
        check_resume(request.storage, request.config, ready.images.fingerprint)
        done = searching.as_found(request)
        say(f"stage {stage.number} of {chain.length}, {stage_line(done.summary)}; done before")
        return done
    _say_stage(chain, stage)
    searching.announce(request, ready)  # makes the folders
    _write_stage(chain, stage)
    return searching.search(request, ready, interruption)


def _stage(request: Request, chain: Chain, number: int, before: Request | None) -> _Stage:
    """A stage's config, made of the stage before, which has ended.

    That of one that has begun keeps its space: what it began with is what it goes on with.
    """
    narrowing, trials = None, []
    if before is None:
        config = chain.first()
    else:
        trials = read.trials(request.storage, before.config.study)
        stored = _begun(request.storage, chain.study(number))
        if stored is None:
            config, narrowing = chain.after(number, before.config, trials)
        else:
            config = chain.continued(number, before.config, stored)
    own = replace(
        request,
        config=config,
        count=chain.planned(number, config),
        stage=chain.place(number, trials),
        retry_failed=request.retry_failed and not _is_passed(request.storage, chain, number),
    )
    return _Stage(number, own, narrowing)


def _begun(storage: str, study: str) -> Config | None:
    """The config that a study was begun with; None where there is no such study.

    Nor where a stage was killed before its place in the chain was kept: it is begun again.
    """
    attrs = read.study_attributes(storage, study) or {}
    if attributes.CONFIG not in attrs:
        return None
    if attributes.STAGE not in attrs and not read.trials(storage, study):
        return None
    return from_plain(attrs[attributes.CONFIG])


def _is_passed(storage: str, chain: Chain, number: int) -> bool:
    """Whether the stage after one has begun, so that nothing of it may change."""
    return number < chain.length and _begun(storage, chain.study(number + 1)) is not None


def _check_begun(request: Request, chain: Chain) -> None:
    """Refuse what does not go on with the stages that have begun, before anything runs.

    Raises:
        InputError: a stage has begun with other values or from other trials, is no stage of this
            chain, or one that is over would get trials.
    """
    storage = request.storage
    check_family(chain, read.stages(storage), lambda study: _begun(storage, study) is not None)
    stages: list[_Stage] = []
    for number in range(1, chain.length + 1):
        study = chain.study(number)
        if _begun(storage, study) is None:
            break
        stages.append(_stage(request, chain, number, stages[-1].request if stages else None))
        own = stages[-1].request
        check_resume(storage, own.config)
        check_place(study, read.stages(storage)[study], own.stage or {})
        if _is_passed(storage, chain, number) and searching.waiting(own):
            raise InputError(
                f"stages.{number}: {study} is over, as {chain.study(number + 1)} was begun from "
                f"it, and cannot get more trials now. Write its trials as they were, or start "
                "another chain: --name NAME."
            )
    if request.retry_failed:
        _check_retry(storage, stages)


def _check_retry(storage: str, stages: Sequence[_Stage]) -> None:
    """Say of which stages the failed trials cannot run again; only the last one begun may change.

    Raises:
        InputError: there are no others.
    """
    names = [stage.request.config.study for stage in stages]
    failed = [name for name in names if read.summary(storage, name).counts.get(State.FAILED)]
    over = [name for name in failed if name != names[-1]]
    if not over:
        return
    text = f"{', '.join(over)}: a stage was begun from it, so its failed trials stay as they are"
    if over != failed:
        say(text)
        return
    raise InputError(f"--retry failed: {text}. Leave it out, or start another chain: --name NAME.")


def _examined(request: Request, chain: Chain) -> list[Preflight]:
    """What would make trials of any stage fail, found before the first."""
    found: list[Preflight] = []
    configs: list[Config] = []
    for config in chain.outlines():
        same = [
            ready
            for other, ready in zip(configs, found, strict=True)
            if (other.data, other.model, other.space) == (config.data, config.model, config.space)
        ]
        found.append(same[0] if same else searching.examined(replace(request, config=config)))
        configs.append(config)
    return found


def _say_stage(chain: Chain, stage: _Stage) -> None:
    request, narrowing = stage.request, stage.narrowing
    config = request.config
    title = f"stage {stage.number} of {chain.length}: {stage_text(config, request.count)}"
    if narrowing is None:
        say(title)
        return
    assert config.search is not None
    told = head(narrowing, chain.study(stage.number - 1), config.search.objective)
    width = output.width() if sys.stderr.isatty() else None
    say_evidence(narrowing, f"{title}, {told}", width)


def _write_stage(chain: Chain, stage: _Stage) -> None:
    """The stage's config as a file, to look at: what it runs is kept with its study."""
    path = study_folder(chain.family) / f"stage-{stage.number}.yaml"
    if stage.narrowing is None and stage.number > 1 and path.exists():
        return
    config = stage.request.config
    lines = [f"Stage {stage.number} of {chain.length} of {chain.family}."]
    if stage.narrowing is not None:
        assert config.search is not None
        told = head(stage.narrowing, chain.study(stage.number - 1), config.search.objective)
        lines = [f"Stage {stage.number} of {chain.length} of {chain.family}, {told}:"]
        lines += evidence_comment(stage.narrowing)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, to_yaml(config, "\n".join(lines)))


def _best(trials: Sequence[Trial], direction: str) -> Trial | None:
    """The best trial; of equals that of the first point: numbers depend on interruptions."""
    last = ranking.last_attempts(trials)
    by_point = {trial.point: trial for trial in last}
    numbered = [replace(trial, number=trial.point) for trial in last]
    best = ranking.best(numbered, direction)
    return None if best is None else by_point[best.point]


def _write_best(chain: Chain, last: Found) -> Path | None:
    """The final file: the best trial of the last stage as a config of a single run."""
    summary = last.summary
    best = _best(last.trials, summary.direction)
    if best is None:
        return None
    config = from_plain(dict(summary.config))
    assert config.search is not None
    comment = (
        f"The best of {chain.family} after {counted(chain.length, 'stage')}: point {best.point} of "
        f"{summary.name}, {config.search.objective} {measure(best.value)}.\n"
        f"Written by cnnsearch {__version__}. Run it again: cnnsearch train FILE"
    )
    single = config.at(best.params, best.seed).with_whole_paths()
    path = study_folder(chain.family) / "best.yaml"
    write_whole(path, to_yaml(single, comment))
    return path


def _over_all(found: Sequence[Found]) -> tuple[StudySummary, Trial] | None:
    """The best trial of all stages; of equals that of the last stage."""
    candidates = [
        (one.summary, best)
        for one in reversed(found)
        if (best := _best(one.trials, one.summary.direction)) is not None
    ]
    if not candidates:
        return None
    sign = 1.0 if candidates[0][0].direction == "maximize" else -1.0
    return max(candidates, key=lambda pair: sign * (pair[1].value or 0.0))


def _closing(
    request: Request, chain: Chain, found: Sequence[Found], final: Path | None, interrupted: bool
) -> list[str]:
    summaries = [one.summary for one in found]
    lines = [stage_line(summary) for summary in summaries]
    saved = saved_text(sum((savings(one.summary, one.trials) for one in found), Savings()))
    lines += [f"saved {saved}"] if saved else []
    best = _over_all(found)
    lines += [best_line(summaries, best)] if best else []
    # After a stage that is done the next one was about to begin.
    done = bool(found) and not found[-1].left and not found[-1].code and not interrupted
    at = f"stage {min(max(1, len(found) + done), chain.length)} of {chain.length}"
    stopped = bool(found) and found[-1].stopped and final is None
    if interrupted or stopped:
        how = "interrupted" if interrupted else "stopped"
        return [*lines, f"{how} at {at}. To continue: {request.again}"]
    if found and found[-1].code:
        study = summaries[-1].name
        see = Step(f"cnnsearch diagnose {study}").text(request.storage_words)
        return [*lines, f"no trial of {study} completed. See why: {see}"]
    if final is None:
        left = counted(found[-1].left, "trial") if found and found[-1].left else "all"
        return [*lines, f"time is up at {at}, {left} of it left. To continue: {request.again}"]
    last = summaries[-1]
    lines.append(f"{final}: the best of {last.name}, the last stage, {measure(last.best)}")
    looks = Step(f"cnnsearch list {chain.family}"), Step(f"cnnsearch show {last.name} best")
    return [*lines, f"next: {'; '.join(look.text(request.storage_words) for look in looks)}"]
