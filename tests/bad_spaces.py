"""Search spaces that are refused, each with the line that says why."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Bad:
    """A file that is refused.

    Args:
        id: what is wrong with it.
        text: the file's content.
        line: the whole error line, without the folder.
        options: further words of the command line.
        file: the file's name; None: the folder itself.
    """

    id: str
    text: str | bytes
    line: str
    options: tuple[str, ...] = ()
    file: str = "bad.yaml"


HEAD = "data: {name: digits}\nsearch: {sampler: random, trials: 3}\n"
GRID = "data: {name: digits}\nsearch: {sampler: grid}\n"


def in_space(id: str, entry: str, text: str, line: int = 4) -> Bad:
    name = re.split(r"[:\s]", entry, maxsplit=1)[0]
    return Bad(id, f"{HEAD}space:\n  {entry}\n", f"bad.yaml:{line}: space.{name}: {text}")


def in_grid(id: str, entry: str, text: str) -> Bad:
    name = entry.partition(":")[0]
    return Bad(id, f"{GRID}space:\n  {entry}\n", f"bad.yaml:4: space.{name}: {text}")


def single(id: str, entry: str, text: str, line: int = 2) -> Bad:
    return Bad(id, f"data: {{name: digits}}\n{entry}\n", f"bad.yaml:{line}: {text}")


def option(id: str, setting: str, text: str) -> Bad:
    file = f"{HEAD}space:\n  lr: [0.1, 0.2]\n"
    return Bad(id, file, f"-S {setting}: {text}", ("-S", setting))


RANGES = [
    in_space(
        "low above high",
        "lr: {low: 0.1, high: 1e-6}",
        "low 0.1 is greater than high 1e-06. Swap them.",
    ),
    in_space(
        "low equals high",
        "lr: {low: 0.1, high: 0.1}",
        "low and high are both 0.1. Write lr: [0.1].",
    ),
    in_space(
        "log with low 0",
        "weight_decay: {low: 0, high: 0.1, log: true}",
        "log needs low above 0, and low is 0. Write a small low, or leave log out.",
    ),
    in_space(
        "log bounds that look like exponents",
        "lr: {low: -6, high: -1, log: true}",
        "bounds are values, not exponents, and low is -6. Write low: 1e-06, high: 0.1.",
    ),
    in_space(
        "log with step",
        "lr: {low: 0.1, high: 1.0, log: true, step: 0.1}",
        "log and step exclude each other. Delete one.",
    ),
    in_space("log no switch", "lr: {low: 0.1, high: 1, log: on}", "log: 'on'. Write log: true or "),
    in_space(
        "step 0",
        "lr: {low: 0.1, high: 1, step: 0}",
        "step 0 does not fit. Write a number above 0, up to 0.9.",
    ),
    in_space(
        "step beyond the range",
        "epochs: {low: 1, high: 4, step: 5}",
        "step 5 does not fit. Write a whole number above 0, up to 3.",
    ),
    in_space("tiny step", "lr: {low: 0.1, high: 1, step: 1e-300}", "step 1e-300 cuts the range"),
    *[
        in_space(
            f"points {points}",
            f"lr: {{low: 0.1, high: 1.0, points: {points}}}",
            f"points {points} does not fit. Write a whole number of at least 2.",
        )
        for points in (0, 1, 2.5)
    ],
    in_space(
        "int with float bounds",
        "batch_size: {low: 16.0, high: 64}",
        "low 16.0: batch_size takes whole numbers. Write low: 16.",
    ),
    in_space(
        "bound outside the field",
        "dropout: {low: 0.1, high: 1.5}",
        "1.5 does not fit. Write a number of at least 0 and below 1.",
    ),
    in_space(
        "bound no number", "lr: {low: tiny, high: 1}", "low 'tiny' is no number. Write low: 0"
    ),
    in_space("bound nan", "lr: {low: .nan, high: 1}", "nan does not fit. Write a number above 0."),
    in_space(
        "high missing", "lr: {low: 0.1}", "high is missing. Write lr: {low: LOW, high: HIGH}."
    ),
    in_space("range of names", "activation: {low: 1, high: 2}", "takes no range. Write a list: "),
    in_space(
        "unknown key of a range",
        "lr: {low: 0.1, high: 1, pionts: 3}",
        "unknown key 'pionts'. Did you ",
    ),
    in_grid(
        "grid without points",
        "lr: {low: 0.1, high: 1.0}",
        "a grid takes a range of numbers by points. Write points: 6, or a step.",
    ),
    in_grid(
        "too many values for a grid",
        "batch_size: {low: 2, high: 1000000}",
        "999,999 values for a grid, 10,000 at most. Write points: 6.",
    ),
    Bad(
        "grid above 10,000 points with trials",
        f"{GRID[:-2]}, trials: 5}}\nspace:\n  lr: {{low: 0.1, high: 1, points: 200}}\n"
        "  momentum: {low: 0, high: 0.9, points: 51}\n",
        "bad.yaml:3: space: a grid of 10,200 points. Give -n to run some of them, or fewer values.",
    ),
    Bad(
        "grid above 10,000 points without -n",
        f"{GRID}space:\n  lr: {{low: 0.1, high: 1, points: 200}}\n"
        "  momentum: {low: 0, high: 0.9, points: 51}\n",
        "bad.yaml:3: space: a grid of 10,200 points. Give -n to run some of them, or fewer values.",
    ),
]

LR = "another tool's spelling. Write lr: {low: 1e-05, high: 0.1, log: true}."
SPELLINGS = [
    in_space("wandb", "lr: {distribution: log_uniform_values, min: 1e-5, max: 0.1}",
             f"distribution, min and max: {LR}"),
    in_space("nni", "lr: {_type: loguniform, _value: [1e-5, 0.1]}", f"_type and _value: {LR}"),
    in_space("min, max", "lr: {min: 1e-5, max: 0.1, log: true}", f"min and max: {LR}"),
    in_space("lower, upper", "lr: {lower: 1e-5, upper: 0.1, log: true}", f"lower and upper: {LR}"),
    in_space("determined", "lr: {type: log, base: 10, minval: -5, maxval: -1}",
             f"type, minval and maxval: {LR}"),
    in_space("type loguniform", "lr: {type: loguniform, low: 1e-5, high: 0.1}", f"type: {LR}"),
    in_space("ax", "lr: {type: range, bounds: [1e-5, 0.1], log_scale: true}",
             f"type, bounds and log_scale: {LR}"),
    in_space("values", "activation: {values: [relu, tanh]}",
             "values: another tool's spelling. Write activation: [relu, tanh]."),
    in_space("nni choice", "batch_size: {_type: choice, _value: [16, 32]}",
             "_type and _value: another tool's spelling. Write batch_size: [16, 32]."),
    in_space("quantised", "epochs: {distribution: q_uniform, min: 2, max: 8, q: 2}",
             "distribution, min, max and q: another tool's spelling. "
             "Write epochs: {low: 2, high: 8, step: 2}."),
    in_space("value", "lr: {value: 0.1}", "value: another tool's spelling. Write lr: [0.1]."),
]  # fmt: skip

CHOICES = [
    in_space("scalar in space", "lr: 0.01",
             "0.01 is a single value. Write lr: [0.01], or set train.lr."),
    in_space("nothing", "lr:", "the line is empty. Write lr: followed by a list or"),
    in_space("mixed types", "lr: [0.1, fast]", "numbers and texts in one list ('fast'). Write"),
    in_space("mixed padding", "padding: [same, 1]", "texts and numbers in one list (1). Write"),
    in_space("unknown choice", "activation: [relu, tahn]",
             "unknown activation 'tahn'. Did you mean t"),
    in_space("switch as name", "activation: [relu, off]", "unknown activation 'off'. Write "),
    in_space("on", "batchnorm: [on]", "'on' does not fit. Write true or false."),
    in_space("float for int", "batch_size: [16, 32.0]", "32.0 does not fit. Write a whole number"),
    in_space("empty list", "lr: []", "the list is empty. Write values: a number above 0."),
    in_space("repeated", "lr: [1, 0.1, 1.0]", "1.0 is listed twice. Delete one."),
    in_space("repeated init", "init: [normal:0.1, normal:1e-1]", "'normal:1e-1' is listed twice."),
    in_space("init no number", "init: [he, normal:abc]",
             "'normal:abc': STD must be a number above 0. Write normal:0.01."),
    in_space("init below 0", "init: [normal:-1]",
             "'normal:-1': STD must be a number above 0. Write normal:0.01."),
    in_space("init with a space", "init: [normal: 0.01]",
             "{normal: 0.01} is a mapping. Write normal:0.01, without a space."),
    in_space("conv no lists", "conv: [16, 32]",
             "each choice is a list itself. Write conv: [[16, 32]]."),
    in_space("choices no list", "lr: {choices: 0.1}",
             "choices must be a list. Write choices: [0.1]."),
    in_space("dotted name", "train.lr: [0.1]", "write the bare name lr, without its section."),
    in_space("not searchable", "limit: [10, 20]", "data.limit cannot be searched. Set it outside"),
    in_space("unknown hyperparameter", "temperature: [0.1]",
             "unknown hyperparameter. Write lr, epochs, batch_size, "),
    in_space("another's name", "learning_rate: [0.1]", "unknown hyperparameter. Did you mean lr?"),
    in_space("start of a name", "act: [relu]", "unknown hyperparameter. Did you mean activation?"),
    in_space("mixed, the first is wrong", "lr: [fast, 0.1]",
             "numbers and texts in one list ('fast'). Write"),
    in_space("near name", "actvation: [relu]", "unknown hyperparameter. Did you mean activation?"),
    in_space("value on its own line", "activation:\n    - relu\n    - tahn",
             "unknown activation 'tahn'. Did you mean tanh?", line=6),
    Bad("space empty", f"{HEAD}space: {{}}\n", "bad.yaml:3: space: is empty. Write a line such as"),
    Bad("space a number", f"{GRID}space: 5\n", "bad.yaml:3: space: 5 is no mapping. Write a line"),
    Bad("space a list", f"{HEAD}space: [lr]\n", "bad.yaml:3: space: ['lr'] is no mapping. Write"),
]  # fmt: skip


def when(id: str, condition: str, text: str) -> Bad:
    entries = (
        "  activation: [relu, tanh]\n  lr: {low: 0.1, high: 1.0}\n  batchnorm: [true, false]\n"
        f"  momentum: {{choices: [0.0, 0.9], when: {condition}}}\n  init: [he, xavier]\n"
    )
    return Bad(id, f"{HEAD}space:\n{entries}", f"bad.yaml:7: space.momentum: {text}")


CONDITIONS = [
    when("when on unknown", "{optimizer: sgd}",
         "when names 'optimizer', which is not in space. Add optimizer to space, above."),
    when("when on nothing", "{foo: 1}", "when names 'foo', which is not in space. Write lr, epo"),
    when("when on near", "{activaton: relu}",
         "when names 'activaton', which is not in space. Did you"),
    when("when on later", "{init: he}", "when names init, which stands below. Move it above."),
    when("when on numeric", "{lr: 0.1}", "when names lr, which is a range. Name a parameter with"),
    when("when on itself", "{momentum: 0.9}",
         "when names the parameter itself. Name an earlier one."),
    when("when never", "{activation: elu}",
         "activation is never 'elu' in this space. Write relu or tan"),
    when("when empty", "{activation: []}", "when: {activation: []} is never true. Write a value."),
    when("when a name", "activation", "when 'activation' does not fit. Write when: {NAME: VALUE}."),
]  # fmt: skip
CONDITIONS += [
    Bad(
        "when true for 1",
        c.text,
        "bad.yaml:7: space.momentum.when.batchnorm: 1 does not fit. Write",
    )
    for c in [when("", "{batchnorm: 1}", "")]
]
