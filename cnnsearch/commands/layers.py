"""`cnnsearch layers`: what becomes of a signal, layer by layer, before any training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cnnsearch.commands.completing import configs
from cnnsearch.commands.options import json_option, set_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnsearch.config import Config
    from cnnsearch.preflight.combinations import Combination
    from cnnsearch.preflight.layers import Layers
    from cnnsearch.records import LayerProbe

    Found = Sequence[tuple[Combination, Layers]]

_STYLES = {"stays": "green", "shrinks": "yellow", "grows": "yellow"}
_HARM = "red"
# Of a data set that does not say; it matters to the classifier alone.
_CLASSES = 10
# Columns of a histogram, as there is room, and what a table has beside it at most.
_BARS, _BESIDE = (64, 32, 16), 46


@click.command("layers")
@click.argument("file", shell_complete=configs)
@click.option(
    "--noise",
    is_flag=False,
    flag_value="",
    metavar="[SIZE]",
    help="Feed N(0, 1) instead of images; SIZE such as 3x32x32, or 500 without conv layers.",
)
@click.option("--all", "whole", is_flag=True, help="Every network, not a sample of 12.")
@set_option
@json_option
def command(
    file: str, noise: str | None, whole: bool, sets: tuple[str, ...], as_json: bool
) -> None:
    """Show the signal layer by layer, before any training.

    The lectures' ten-layer experiment on the networks of FILE: for each init
    scheme, activation and batch norm of its space, 1,000 training images go
    through the network as it was initialised. Does the signal die away,
    explode, saturate or stay?

    A histogram has one line a layer, and one range for all layers of a network.
    The height is the square root of the share, so that tails can be seen.

    \b
    Example:
      cnnsearch layers configs/digits.yaml
      cnnsearch layers configs/digits.yaml --all --json
      cnnsearch layers configs/lecture-ten-layers.yaml --noise 500
    """
    from cnnsearch.config import load_with_notes
    from cnnsearch.preflight.combinations import combinations, spread
    from cnnsearch.preflight.layers import look
    from cnnsearch.render import output
    from cnnsearch.render.talk import say

    config, notes = load_with_notes(file, sets)
    for note in notes:
        say(note)
    every = combinations(config)
    data, device = _inputs(config, noise, file, sets)
    chosen = every if whole else spread(every)
    if len(chosen) < len(every):
        say(f"{len(chosen)} of {len(every)} networks, all choices among them; --all for the rest.")
    _say_held(config, chosen[0].config)
    found = [(combination, look(combination.config, data, device)) for combination in chosen]
    if as_json:
        output.write_json(_document(config, noise, len(every), data.shape, found))
        return
    output.write_lines([[(_fed(config, noise, data.shape, found[0][1]), "")]], wrap=True)
    for combination, layers in found:
        output.write("")
        _print_network(combination, layers)
    if len(found) > 1 and found[0][1].rows:  # last: what a screen still shows
        output.write("")
        _print_overview(found)


def _say_held(config: Config, run: Config) -> None:
    """What else of the network is searched, and the value that it has here; all but dropout, which
    is off.
    """
    from cnnsearch.preflight.combinations import FIELDS
    from cnnsearch.render.talk import say
    from cnnsearch.render.text import value_text

    names = [name for name in config.space or () if name in type(run.model).model_fields]
    held = [
        f"{n} {value_text(getattr(run.model, n))}" for n in names if n not in (*FIELDS, "dropout")
    ]
    if held:
        say(f"searched too, but here always {', '.join(held)}")


def _inputs(config: Config, noise: str | None, file: str, sets: Sequence[str]) -> tuple[Any, Any]:
    """What goes through the networks, and the device: images, or noise without reading any."""
    from cnnsearch import catalog, data, runner
    from cnnsearch.preflight import examine
    from cnnsearch.preflight.layers import Noise
    from cnnsearch.render.talk import say

    row = catalog.DATASETS[config.data.name]
    shape = _shape(noise) if noise else row.shape
    if noise is None or shape is None:
        ready = examine(config, say, file, sets)
        if noise is None:
            return data.prepare(ready.images, config.data, ready.device), ready.device
        shape, classes = ready.images.shape, len(ready.images.classes)
    else:
        classes = row.classes or _CLASSES
        _check_shapes(config, shape, classes)
    device = runner.resolve_device(config.device)
    return Noise.drawn(shape, classes, config.seed, device), device


def _shape(noise: str) -> tuple[int, int, int]:
    """What --noise says: `500` is (1, 1, 500), `3x32x32` is (3, 32, 32)."""
    from cnnsearch.errors import InputError

    sides = noise.lower().split("x")
    if len(sides) not in (1, 3) or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise InputError(
            f"--noise {noise}: is no size. Write 500 or 3x32x32, or FILE before --noise."
        )
    channels, height, width = (int(side) for side in ["1", "1", *sides][-3:])
    return channels, height, width


def _check_shapes(config: Config, shape: tuple[int, int, int], classes: int) -> None:
    """Refuse noise that does not fit through the networks.

    Raises:
        InputError: one line for each thing that is wrong.
    """
    from cnnsearch import model
    from cnnsearch.errors import InputError
    from cnnsearch.preflight.combinations import combinations

    found = (model.fits(one.config.model, shape, classes) for one in combinations(config))
    size = "x".join(str(side) for side in shape)
    if wrong := dict.fromkeys(f"--noise {size}: {error}" for error in found if error is not None):
        raise InputError("\n".join(wrong))


def _fed(config: Config, noise: str | None, shape: tuple[int, int, int], layers: Layers) -> str:
    """One line: what went through the networks."""
    size = f"{shape[2]} values" if shape[:2] == (1, 1) else "x".join(str(s) for s in shape)
    what = f"training images of {config.data.name}" if noise is None else "inputs of N(0, 1)"
    return (
        f"{config.study}, before any training: {layers.inputs:,} {what}, {size}, "
        f"std {layers.input_std:.3g}"
    )


def _title(combination: Combination) -> str:
    """The choices by which it is known: those that are searched, else all three."""
    from cnnsearch.preflight.combinations import FIELDS, words

    model = combination.config.model
    return words([combination.params or {name: getattr(model, name) for name in FIELDS}])


def _print_network(combination: Combination, layers: Layers) -> None:
    from cnnsearch.render import output
    from cnnsearch.render.histogram import bars, ends
    from cnnsearch.render.table import Column, Table, print_table
    from cnnsearch.render.text import number

    told = (_told(layers), _STYLES.get(layers.seen, _HARM))
    output.write_lines([[(f"{_title(combination)}: ", "bold"), told]], wrap=True)
    if not layers.rows:
        return
    room = next((n for n in _BARS if n + _BESIDE <= output.width()), _BARS[-1])
    columns = [
        Column("layer"),
        Column("mean", number, right=True),
        Column("std", number, right=True),
        Column("dead", _percent, right=True),
        Column("saturated", _percent, right=True),
        Column(ends(number(layers.low), number(layers.high), room), str, style=lambda _: "cyan"),
    ]
    drawn = [bars(shares, room) for shares in layers.histograms] or [""] * len(layers.rows)
    rows = [
        [row.name, row.mean, row.std, row.dead, row.saturated, histogram]
        for row, histogram in zip(layers.rows, drawn, strict=True)
    ]
    applying = [i for i in range(len(columns)) if any(row[i] not in (None, "") for row in rows)]
    print_table(Table(tuple(columns), rows).only(applying))


def _told(layers: Layers) -> str:
    """What one sees, in words."""
    from cnnsearch.preflight.layers import Seen
    from cnnsearch.render.text import counted

    rows = layers.rows
    if not rows:
        return "no layer before the classifier"
    over = f"std {rows[0].std:.3g}"
    if len(rows) > 1:
        over += f" -> {rows[-1].std:.3g} over {counted(len(rows), 'layer')}"
    match layers.seen:
        case Seen.NONE:
            return f"no signal: {rows[0].name} gives the same for every input, std 0"
        case Seen.OVERFLOWS:
            lost = next(row for row in rows if not _finite(row))
            return f"the signal overflows: {lost.name} is not finite"
        case Seen.SATURATES:
            worst = max(rows, key=lambda row: row.saturated or 0)
            share = _percent(worst.saturated)
            return f"the signal saturates: {share} of {worst.name} at its limits; {over}"
        case Seen.DEAD:
            worst = max(rows, key=lambda row: row.dead or 0)
            return f"units are dead: {_percent(worst.dead)} of {worst.name}; {over}"
    return f"the signal {layers.seen}: {over}"


def _finite(row: LayerProbe) -> bool:
    import math

    return math.isfinite(row.std)


def _percent(share: float | None) -> str:
    from cnnsearch.render.text import MISSING

    if share is None:
        return MISSING
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def _print_overview(found: Found) -> None:
    """A row a network."""
    from cnnsearch.render.table import Column, Table, print_table
    from cnnsearch.render.text import number

    names = list(dict.fromkeys(name for combination, _ in found for name in combination.params))
    columns = (
        *(Column(name) for name in names),
        Column("signal", str, style=lambda seen: _STYLES.get(seen, _HARM)),
        Column("first std", number, right=True),
        Column("last std", number, right=True),
        Column("dead", _percent, right=True),
        Column("saturated", _percent, right=True),
    )
    rows = [
        [
            *(getattr(combination.config.model, name) for name in names),
            layers.seen,
            layers.rows[0].std,
            layers.rows[-1].std,
            *(
                _worst([getattr(row, what) for row in layers.rows])
                for what in ("dead", "saturated")
            ),
        ]
        for combination, layers in found
    ]
    applying = [i for i in range(len(columns)) if any(row[i] is not None for row in rows)]
    print_table(Table(columns, rows).only(applying))


def _worst(shares: Sequence[float | None]) -> float | None:
    return max((share for share in shares if share is not None), default=None)


def _document(
    config: Config, noise: str | None, count: int, shape: tuple[int, int, int], found: Found
) -> dict[str, Any]:
    return {
        "study": config.study,
        "inputs": {
            "from": config.data.name if noise is None else "noise",
            "count": found[0][1].inputs,
            "shape": list(shape),
            "std": found[0][1].input_std,
        },
        "combinations": count,
        "networks": [
            {
                "init": combination.config.model.init,
                "activation": combination.config.model.activation,
                "batchnorm": combination.config.model.batchnorm,
                "signal": layers.seen,
                "range": [layers.low, layers.high],
                "layers": [
                    {
                        "name": row.name,
                        "units": row.units,
                        "mean": row.mean,
                        "std": row.std,
                        "dead": row.dead,
                        "saturated": row.saturated,
                        "histogram": layers.histograms[i] if layers.histograms else None,
                    }
                    for i, row in enumerate(layers.rows)
                ],
                "scores": {"mean": layers.scores.mean, "std": layers.scores.std},
            }
            for combination, layers in found
        ],
    }
