"""Makes clicks.json: position bias estimated from counts by numpy 2.4 and scipy 1.17, and Kendall's tau-b by scipy.

Both estimates are maxima that scipy's optimisers find from the formulas of the papers, with the logarithms and logits of
the parameters free: AllPairs with a parameter for each pair of positions, and the likelihood of the positions of an item's
clicks given their number. `log_likelihood` takes the best attractiveness of each item by a bounded scalar search.

    pip install numpy scipy
    python clicks.py > clicks.json
"""
import json

import numpy as np
from scipy import optimize, stats

FINE = {"maxiter": 100_000, "maxfun": 10_000_000, "ftol": 1e-16, "gtol": 1e-10, "maxls": 100}


def counts(rng, examination, items, impressions, moving):
    """Rows of item, position, impressions, clicks; an item is shown at `moving` neighbouring positions."""
    rows = []
    for item in range(items):
        first = rng.integers(0, len(examination) - moving + 1)
        attractiveness = rng.uniform(0.05, 0.9)
        for k in range(first, first + moving):
            shown = int(rng.integers(1, impressions))
            rows.append([item, k + 1, shown, int(rng.binomial(shown, examination[k] * attractiveness))])
    return np.array(rows)


def table(rows):
    """Impressions and clicks as matrices of item by position."""
    shown = np.zeros((rows[:, 0].max() + 1, rows[:, 1].max()))
    clicks = shown.copy()
    shown[rows[:, 0], rows[:, 1] - 1] = rows[:, 2]
    clicks[rows[:, 0], rows[:, 1] - 1] = rows[:, 3]
    return shown, clicks


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def all_pairs(rows):
    shown, clicks = table(rows)
    positions = shown.shape[1]
    rate = np.divide(clicks, shown, out=np.zeros_like(clicks), where=shown > 0)
    both = (shown > 0).astype(float)
    clicked = rate.T @ both  # [k, k']: the rates at k of the items shown at k and k'
    unclicked = (both - rate).T @ both
    upper = np.triu_indices(positions, 1)
    relevance_of = np.zeros((positions, positions), dtype=int)
    relevance_of[upper] = np.arange(len(upper[0]))
    relevance_of += relevance_of.T
    off = ~np.eye(positions, dtype=bool)

    def loss(x):
        p, r = sigmoid(x[:positions]), sigmoid(x[positions:])
        click = p[:, None] * r[relevance_of]
        value = -(clicked * np.log(click) + unclicked * np.log1p(-click))[off].sum()
        slope = np.where(off, -(clicked - unclicked * click / (1 - click)), 0.0)  # by the logarithm of the click
        by_p = slope.sum(1) * (1 - p)
        by_r = np.bincount(relevance_of[off], slope[off], len(r)) * (1 - r)
        return value, np.concatenate([by_p, by_r])

    x = np.zeros(positions + len(upper[0]))
    for _ in range(20):
        x = optimize.minimize(loss, x, jac=True, method="L-BFGS-B", options=FINE).x
    p = sigmoid(x[:positions])
    return (p / p[0]).tolist()


def conditional(rows):
    shown, clicks = table(rows)

    def loss(b):
        weight = shown * np.exp(np.concatenate([[0.0], b]))
        share = weight / weight.sum(1, keepdims=True)
        of_item = clicks.sum(1, keepdims=True)
        value = -(clicks.sum(0)[1:] @ b - (of_item[:, 0] * np.log(weight.sum(1))).sum())
        return value, -(clicks - of_item * share).sum(0)[1:]

    x = np.zeros(shown.shape[1] - 1)
    for _ in range(5):
        x = optimize.minimize(loss, x, jac=True, method="L-BFGS-B", options=FINE).x
    return [1.0, *np.exp(x).tolist()]


def log_likelihood(rows, examination):
    total = 0.0
    for item in np.unique(rows[:, 0]):
        cells = rows[rows[:, 0] == item]
        theta, shown, clicks = np.array(examination)[cells[:, 1] - 1], cells[:, 2], cells[:, 3]
        if clicks.sum() == 0:
            continue

        def loss(gamma):
            click = theta * gamma
            return -(stats.binom.logpmf(clicks, shown, click) - stats.binom.logpmf(clicks, shown, 0.5)).sum()

        found = optimize.minimize_scalar(loss, bounds=(0, 1 / theta.max()), method="bounded", options={"xatol": 1e-12})
        total += -found.fun + (shown * np.log(0.5)).sum()
    return total


def main():
    rng = np.random.default_rng(11)
    logs = []
    for examination, items, impressions, moving in [
        ([1.0, 0.6], 30, 200, 2),
        ([1.0, 0.7, 0.5, 0.4, 0.3], 60, 100, 5),
        ([1.0, 0.8, 0.3, 0.25, 0.2, 0.15], 200, 30, 2),
        ([0.5, 0.7, 0.6, 0.2], 100, 10, 3),
    ]:
        rows = counts(rng, examination, items, impressions, moving)
        estimate = conditional(rows)
        logs.append({
            "cells": rows.tolist(),
            "all_pairs": all_pairs(rows),
            "estimate": estimate,
            "log_likelihood": log_likelihood(rows, estimate),
            "without_bias": log_likelihood(rows, [1.0] * len(examination)),
        })
    taus = []
    for n, levels in [(2, 9), (5, 3), (12, 4), (40, 100), (200, 7)]:
        pairs = rng.integers(0, levels, (n, 2))
        taus.append({"pairs": pairs.tolist(), "tau": stats.kendalltau(pairs[:, 0], pairs[:, 1]).statistic})
    print(json.dumps({"logs": logs, "kendall": taus}))


main()
