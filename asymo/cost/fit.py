"""Least squares with non-negative coefficients: how calibration turns times into seconds per feature."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PRIOR_WEIGHT = 0.01
"""How much a coefficient's generic value counts against one measurement: it decides only what the measurements leave open."""

ROUNDS, FLOOR = 15, 0.02
"""Of reweighting; a relative error below FLOOR is noise and weighs no less."""


def nonnegative(a: Floats, b: Floats) -> Floats:
    """The x >= 0 that minimises |a x - b| (Lawson and Hanson's active sets)."""
    n = a.shape[1]
    scale: Floats = np.linalg.norm(a, axis=0)
    scale[scale == 0] = 1.0
    a = a / scale
    x: Floats = np.zeros(n)
    passive = np.zeros(n, bool)
    for _ in range(10 * n):
        gain = np.where(passive, -np.inf, a.T @ (b - a @ x))
        if gain.max() <= 1e-10:
            break
        passive[gain.argmax()] = True
        while True:
            trial = np.zeros(n)
            trial[passive] = np.linalg.lstsq(a[:, passive], b, rcond=None)[0]
            if trial[passive].min() > 0:
                break
            low = passive & (trial <= 0)
            step = (x[low] / (x[low] - trial[low] + 1e-300)).min()
            x = x + step * (trial - x)
            passive &= x > 1e-12
            x[~passive] = 0.0
            if not passive.any():
                return x / scale
        x = trial
    return x / scale


def rates(counts: Floats, seconds: Floats, generic: Floats) -> Floats:
    """Seconds per feature from `counts` [measurements][features] and their `seconds`, relative errors counting alike.

    generic: what the features cost where nothing is measured (only their ratios matter); a feature that no measurement has keeps it.
    Outliers are weighed down (iteratively reweighted towards least absolute errors).
    """
    scale = float(np.median(seconds / np.maximum(counts @ generic, 1e-30)))
    prior = np.maximum(generic * scale, 1e-30)
    weight = np.ones(len(seconds))
    a = counts / seconds[:, None]
    x = prior
    for _ in range(ROUNDS):
        rows = np.vstack([a * weight[:, None], PRIOR_WEIGHT * np.diag(1 / prior)])
        x = nonnegative(rows, np.concatenate([weight, np.full(len(prior), PRIOR_WEIGHT)]))
        weight = 1 / np.sqrt(np.maximum(np.abs(a @ x - 1), FLOOR))
        weight /= weight.mean()
    return x
