"""Least squares over rows that count several times."""

from __future__ import annotations

import numpy as np
import pytest

from synthtools.measure import iteration
from synthtools.measure.iteration import Weighted, solver


def problem(samples, features, pools, seed=0):
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((samples, features))
    row = draw.choice(pools * samples, samples, replace=False) % samples
    times = np.bincount(row, minlength=samples)
    labels = np.bincount(row, draw.standard_normal(samples), minlength=samples)
    return x, times, labels


def repeated(x, times, labels):
    """What numpy says of the rows written out."""
    mean = np.divide(labels, times, out=np.zeros(len(times)), where=times > 0)
    return np.linalg.lstsq(np.repeat(x, times, 0), np.repeat(mean, times), rcond=None)[0]


@pytest.mark.parametrize(("samples", "features"), [(60, 7), (4000, 300), (2048, 256)])
@pytest.mark.parametrize("pools", [2, 20])
def test_as_if_the_rows_were_written_out(samples, features, pools):
    x, times, labels = problem(samples, features, pools)
    found = Weighted(x, solver(x.T @ x)).solve(times, labels)
    wanted = repeated(x, times, labels)
    assert np.linalg.norm(found - wanted) < 3e-6 * np.linalg.norm(wanted)


def test_large_problems_make_no_second_matrix(monkeypatch):
    x, times, labels = problem(2100, 260, 3)
    solve = solver(x.T @ x)
    monkeypatch.setattr(iteration, "solver", None)
    assert np.isfinite(Weighted(x, solve).solve(times, labels)).all()


def test_steps_that_do_not_converge_are_not_believed(monkeypatch):
    x, times, labels = problem(2100, 260, 3)
    monkeypatch.setattr(iteration, "_STEPS", 2)
    found = Weighted(x, solver(x.T @ x)).solve(times, labels)
    np.testing.assert_allclose(found, repeated(x, times, labels), rtol=1e-8, atol=1e-12)


def test_no_noise_is_no_error():
    x, times, labels = problem(2100, 260, 3)
    assert not Weighted(x, solver(x.T @ x)).solve(times, labels * 0).any()
