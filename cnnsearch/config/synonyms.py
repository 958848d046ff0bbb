"""What a field is called elsewhere, where its name here looks too different to be guessed."""

from __future__ import annotations

from collections.abc import Mapping

# In lower case. Only for "did you mean": no other name than ours is ever taken.
SYNONYMS: Mapping[str, str] = {
    **dict.fromkeys(["learning_rate", "learningrate", "learn_rate", "eta"], "lr"),
    **dict.fromkeys(["batch", "bs", "batchsize", "minibatch"], "batch_size"),
    **dict.fromkeys(["bn", "batch_norm", "batchnormalization", "batch_normalization"], "batchnorm"),
    **dict.fromkeys(["act", "activation_function", "act_fn", "nonlinearity"], "activation"),
    **dict.fromkeys(["initialization", "initialisation", "initializer", "init_scheme"], "init"),
    **dict.fromkeys(["weight_init", "init_method"], "init"),
    **dict.fromkeys(["drop", "dropout_rate", "p_dropout"], "dropout"),
    **dict.fromkeys(["wd", "decay", "l2", "weightdecay"], "weight_decay"),
    **dict.fromkeys(["opt", "optim"], "optimizer"),
    **dict.fromkeys(["scheduler", "lr_scheduler", "lr_schedule"], "schedule"),
    **dict.fromkeys(["max_epochs", "num_epochs", "n_epochs"], "epochs"),
    **dict.fromkeys(["channels_out", "conv_channels", "filters"], "conv"),
    **dict.fromkeys(["fc", "dense", "hidden_size", "hidden_units"], "hidden"),
    **dict.fromkeys(["n_trials", "num_trials", "max_trials"], "trials"),
    **dict.fromkeys(["metric"], "objective"),
    **dict.fromkeys(["dataset"], "name"),
    **dict.fromkeys(["val_split", "validation_split"], "validation"),
}
