"""The only package that imports optuna: storage, states, samplers, pruners, reading."""
