"""Starter files: a commented config for each data set."""

from __future__ import annotations

from dataclasses import dataclass

from cnnsearch.catalog import DATASETS, OPTIMIZERS, PREPROCESSORS, SAMPLERS
from cnnsearch.config.mistakes import listed


@dataclass(frozen=True, slots=True)
class _Scale:
    """Sizes that fit the images: small images want small networks."""

    conv: str
    hidden: str
    limit: int | None
    epochs: int
    trials: int


# By the height of the images; the last row is for those that the folder decides.
_SCALES = {
    8: _Scale("[16, 32]", "[64]", None, 8, 30),
    28: _Scale("[16, 32]", "[64]", 10_000, 2, 30),
    32: _Scale("[32, 64]", "[128]", 10_000, 3, 30),
    None: _Scale("[32, 64]", "[128]", None, 3, 30),
}

_TEXT = """\
# A random search on {name}: {description}.
#   cnnsearch check FILE     what it would do
#   cnnsearch run FILE       do it, or go on with it
#   cnnsearch list           what came out
{study}
data:
  name: {name}
{data}
  validation: 0.1             # of the training images; the test set is not touched
  preprocess: channel_mean    # {preprocessors}

model:
  conv: {conv:<22}# channels of each conv layer; [] is a fully connected network
  hidden: {hidden:<20}# units of each fully connected layer
  # Not set here: kernel, stride, padding, pool, pool_size, dropout, batchnorm_at.

train:
  epochs: {epochs}
  batch_size: 128
  optimizer: sgd              # {optimizers}
  momentum: 0.9
  # Not set here: nesterov, weight_decay, schedule, warmup_epochs.

search:
  sampler: random             # {samplers}
  trials: {trials}
  objective: val_accuracy     # or val_loss

# A list is a choice, low and high are a range. What stands here overrides what stands above.
space:
  lr: {{low: 1e-4, high: 1.0, log: true, points: 5}}   # points: used by a grid only
  # All there are: cnnsearch choices
  init: [normal:0.01, xavier, he]
  activation: [tanh, relu, leaky_relu, elu]
  batchnorm: [true, false]
"""


def starter(dataset: str, study: str | None = None) -> str:
    """A config for a data set of the catalog, with comments.

    Args:
        study: the study's name, where the file's name is none.
    """
    row = DATASETS[dataset]
    scale = _SCALES.get(row.shape[1] if row.shape else None, _SCALES[32])
    if row.shape is None:
        data = (
            "  # A relative path counts from the folder where cnnsearch is started.\n"
            "  root: ~/images              # one folder a class, or train/ and test/ with them"
        )
    elif row.files:
        data = (
            "  # A relative path counts from the folder where cnnsearch is started.\n"
            "  # root: DIR                 # default: $CNNSEARCH_DATA, else ~/.cache/cnnsearch"
        )
    else:
        data = "  # limit: 1000               # fewer training images"
    if scale.limit:
        data += f"\n  limit: {scale.limit:<21}# training images; delete it for all"
    return _TEXT.format(
        name=row.name,
        description=row.description,
        preprocessors=listed(PREPROCESSORS),
        optimizers=listed(OPTIMIZERS),
        samplers=listed(SAMPLERS),
        study=f"\nstudy: {study}\n" if study else "",
        data=data,
        conv=scale.conv,
        hidden=scale.hidden,
        epochs=scale.epochs,
        trials=scale.trials,
    )
