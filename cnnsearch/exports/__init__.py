"""Trials in the forms of other programs: TensorBoard's files, MLflow's runs."""
