"""Figures of a study as PNG, SVG and PDF, by matplotlib; and some of them as text.

All are drawn here, none by `optuna.visualization`. Its matplotlib half is experimental and says so
on every call, draws through pyplot's global state, takes an Optuna study (10 s to load 10,000
trials) and knows Optuna's three states: it shows diverged trials as pruned ones with the last loss
as their value, repeats every attempt of a point, and does not know of hidden trials, verdicts and
folds. Our numbers come from `cnnsearch.study.read` and `cnnsearch.review`, so that a picture and a
listing never disagree.

Figures are made of matplotlib's objects without pyplot, so nothing global is changed, and are equal
to the last byte for equal trials.
"""
