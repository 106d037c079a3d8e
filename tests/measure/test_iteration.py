"""Iterated regression against the process written out with pseudo-inverses, and known values."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import running
from synthtools.measure.iteration import (
    MASKS,
    WORKFLOWS,
    LinearSetting,
    edited_rows,
    repetition,
    repetitions,
)
from synthtools.measure.iteration_theory import (
    base,
    bound,
    large_sample_limit,
    paper_expression,
    shrinking_bound,
)


def literal(setting: LinearSetting, workflow: str, seed: int, number: int) -> list[float]:
    """The process as it is written, on whole labels and with a true w*, from the same draws."""
    rows, features = setting.samples, setting.features
    x = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, 0)))
    x = x.standard_normal((rows, features))
    key = (number, 1 + WORKFLOWS.index(workflow))
    draw = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    truth = np.linspace(-2, 3, features)
    w, labels, pool, start, errors = truth, np.zeros(rows), [], 0, []
    for n in range(1, setting.generations + 1):
        if workflow == "edit":
            mask = np.ones(rows, bool)
            if n > 1:
                count = setting.edited[n - 2]
                mask = np.zeros(rows, bool)
                if setting.masks == "random":
                    mask[draw.choice(rows, count, replace=False, shuffle=False)] = True
                elif setting.masks == "nested":
                    mask[:count] = True
                else:
                    mask[start : start + count] = True
                    start += count
            noise = np.zeros(rows)
            noise[mask] = setting.noise * draw.standard_normal(mask.sum())
            labels = np.where(mask, x @ w + noise, labels)
            w = np.linalg.pinv(x) @ labels
        else:
            pool.append(x @ w + setting.noise * draw.standard_normal(rows))
            if workflow == "replace":
                w = np.linalg.pinv(x) @ pool[-1]
            elif workflow == "accumulate":
                w = np.linalg.pinv(np.concatenate([x] * n)) @ np.concatenate(pool)
            else:
                taken = range(rows)
                if n > 1:
                    taken = draw.choice(n * rows, rows, replace=False, shuffle=False)
                everything = np.concatenate([x] * n)[taken]
                w = np.linalg.pinv(everything) @ np.concatenate(pool)[taken]
        errors.append(float(np.sum((w - truth) ** 2)))
    return errors


@settings(max_examples=40)
@given(
    st.sampled_from(WORKFLOWS),
    st.sampled_from(MASKS),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 1000),
    st.floats(0.1, 3),
)
def test_the_process_as_it_is_written(
    workflow: str, masks: str, features: int, generations: int, number: int, noise: float
) -> None:
    samples = 8 * features + 5
    edited = edited_rows(samples, generations, 0.4, 0.5)
    setting = LinearSetting(samples, features, noise, generations, edited, masks)
    found = repetition(setting, (workflow,), 3, number)[0]
    assert found == pytest.approx(literal(setting, workflow, 3, number), rel=1e-7)


def simulated(
    workflow: str, generations: int, share: float, decay: float, masks: str, samples: int = 100
) -> tuple[LinearSetting, np.ndarray, np.ndarray]:
    """Mean and standard error over 1,500 repetitions, in units of base."""
    edited = edited_rows(samples, generations, share, decay)
    setting = LinearSetting(samples, 10, 1.0, generations, edited, masks)
    errors = repetitions(setting, (workflow,), 0, 1500, 2)[:, 0] / base(setting)
    return setting, errors.mean(0), errors.std(0, ddof=1) / math.sqrt(len(errors))


def test_collapse_is_n_times_base() -> None:
    _, mean, spread = simulated("replace", 10, 0.4, 0.5, "disjoint")
    assert np.all(np.abs(mean - np.arange(1, 11)) < 4 * spread)


def test_accumulating_converges_to_a_sixth_of_pi_squared() -> None:
    _, mean, spread = simulated("accumulate", 40, 0.4, 0.5, "disjoint")
    assert np.all(np.abs(mean - np.cumsum(1 / np.arange(1, 41) ** 2)) < 4 * spread)
    assert abs(mean[-1] + 1 / 40.5 - math.pi**2 / 6) < 4 * spread[-1]


def test_subsampling_grows_slowly() -> None:
    _, mean, spread = simulated("accumulate-subsample", 6, 0.4, 0.5, "disjoint")
    assert np.all(np.abs(mean - [1.0, 1.8, 2.2, 2.4, 2.5, 2.6]) < 4 * spread + 0.05)


@pytest.mark.parametrize(
    "share, decay, masks, generations, known",
    [
        (0.4, 0.5, "disjoint", 8, 2.50),
        (0.1, 1.0, "disjoint", 11, 3.52),
        (0.2, 1.0, "random", 10, 4.13),
    ],
)
def test_the_literal_values_of_edit(
    share: float, decay: float, masks: str, generations: int, known: float
) -> None:
    setting, mean, spread = simulated("edit", generations, share, decay, masks)
    assert abs(mean[-1] - known) < 4 * spread[-1]
    # What the paper's expression gives instead is far away.
    expression = paper_expression("edit", setting)
    assert expression is not None and mean[-1] - expression[-1] > 10 * spread[-1]


@pytest.mark.parametrize(
    "workflow, masks",
    [(name, "disjoint") for name in WORKFLOWS] + [("edit", "nested"), ("edit", "random")],
)
def test_many_samples_reach_the_limit(workflow: str, masks: str) -> None:
    setting, mean, spread = simulated(workflow, 7, 0.4, 0.5, masks, samples=1000)
    limit = np.array(large_sample_limit(workflow, setting))
    assert np.all(np.abs(mean - limit) < 4 * spread + 0.03 * (limit - 1))


def test_the_limit_is_exact_where_an_expression_is() -> None:
    setting = LinearSetting(50, 5, 2.0, 12, edited_rows(50, 12, 1.0, 1.0), "random")
    for workflow in ("replace", "accumulate"):
        assert large_sample_limit(workflow, setting) == pytest.approx(
            paper_expression(workflow, setting)
        )
    # An edit of everything is a replacement.
    assert large_sample_limit("edit", setting) == pytest.approx(range(1, 13))
    assert paper_expression("accumulate-subsample", setting) is None


def test_the_papers_expression_is_that_of_theorem_1() -> None:
    rows, features, edited = 60, 6, (24, 12, 6)
    setting = LinearSetting(rows, features, 1.5, 4, edited)
    draw = np.random.default_rng(5)
    errors = np.zeros((4000, 4))
    for row in errors:
        inverse = np.linalg.pinv(draw.standard_normal((rows, features)))
        labels = 1.5 * draw.standard_normal(rows)
        row[0] = np.sum((inverse @ labels) ** 2)
        start = 0
        for n, count in enumerate(edited, 1):
            labels[start : start + count] += 1.5 * draw.standard_normal(count)
            start += count
            row[n] = np.sum((inverse @ labels) ** 2)
    spread = errors.std(0) / math.sqrt(len(errors)) / base(setting)
    expected = paper_expression("edit", setting)
    assert np.all(np.abs(errors.mean(0) / base(setting) - expected) < 4 * spread)


def test_bounds() -> None:
    assert bound("edit") == 2 and bound("accumulate") == pytest.approx(1.6449341)
    assert bound("replace") is None
    setting = LinearSetting(100, 10, 3.0, 5, edited_rows(100, 5, 0.4, 0.25))
    # E tr (XᵀX)⁻² by simulation.
    draw = np.random.default_rng(1)
    traces = []
    for _ in range(2000):
        x = draw.standard_normal((100, 10))
        inverse = np.linalg.inv(x.T @ x)
        traces.append(np.sum(inverse**2))
    expected = 1 + 9 * math.sqrt(np.mean(traces) * 40) / (1 - 0.5) / base(setting)
    assert shrinking_bound(setting, 0.25) == pytest.approx(expected, rel=0.01)
    assert shrinking_bound(setting, 1.0) is None
    assert shrinking_bound(LinearSetting(13, 10, 1.0, 5, (4, 2, 1, 0)), 0.5) is None


run = partial(running.run, "simulate", text=True)


def report(*options: object) -> dict[str, Any]:
    done = run(*options, "--json")
    assert done.returncode == 0 and not done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_report_says_that_the_literal_process_exceeds_the_bound() -> None:
    found = report(
        *("--samples", 100, "--features", 10, "--generations", 8, "--workflow", "edit"),
        *("--edit-share", 0.4, "--edit-decay", 0.5),
    )
    (edit,) = found["workflows"]
    assert edit["exceeds_bound"] is True
    assert "exceeds the paper's bound" in edit["notes"][0] and "cross term" in edit["notes"][0]
    assert found["edit"]["rows"] == [40, 20, 10, 5, 2, 1, 1]
    assert edit["paper"] == pytest.approx(1 + np.cumsum([0, 0.4, 0.2, 0.1, 0.05, 0.02, 0.01, 0.01]))
    for low, mean, high in zip(edit["low"], edit["simulated"], edit["high"]):
        assert low < mean < high
    assert found["made_by"]["seed"] == 0 and found["made_by"]["tool"] == "simulate"


def test_jobs_and_other_workflows_change_no_number() -> None:
    common = ("--repetitions", 50, "--generations", 3, "--samples", 300, "--features", 40)
    found = [
        report(*common, "--jobs", jobs, *workflows)["workflows"]
        for jobs in (1, 3)
        for workflows in ((), ("--workflow", "edit"), ("--workflow", "replace,edit"))
    ]
    assert found[0] == found[3] and len(found[0]) == 4
    for some in found:
        assert some[-1] == found[0][-1]
    assert report(*common, "--seed", 1)["workflows"] != found[0]


def test_one_repetition_has_no_interval() -> None:
    found = report("--repetitions", 1, "--generations", 1)
    assert [w["standard_error"] for w in found["workflows"]] == [None] * 4
    assert [w["exceeds_bound"] for w in found["workflows"]] == [None] * 4


def test_hardly_any_samples() -> None:
    found = report("--samples", 3, "--features", 1, "--workflow", "replace", "--repetitions", 20)
    assert "no finite variance" in found["workflows"][0]["notes"][0]


@pytest.mark.parametrize(
    "options, words, code",
    [
        (["--samples", 11], "--samples 11", 2),
        (["--samples", "many"], "--samples many", 2),
        (["--features", 0], "--features 0", 2),
        (["--repetitions", 1.5], "--repetitions 1.5", 2),
        (["--noise", 0], "--noise", 2),
        (["--noise", "nan"], "--noise", 2),
        (["--edit-share", 0], "--edit-share", 2),
        (["--edit-share", 1.5], "--edit-share", 2),
        (["--edit-decay", 1], "--masks random", 2),
        (["--masks", "some"], "--masks some", 2),
        (["--workflow", "edit,"], "--workflow", 2),
        (["--workflow", "keep"], "--workflow keep", 2),
        (["--plot", "a.pdf"], "--plot a.pdf", 2),
        (["--plot", "a"], "--plot a", 2),
        (["--samples", 12, "--workflow", "accumulate-subsample"], "at least 20", 1),
    ],
)
def test_what_cannot_be_simulated_is_one_line(options: list[object], words: str, code: int) -> None:
    done = run(*options)
    assert done.returncode == code and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and words in done.stderr
