"""``synth fit``: known laws recovered, other optimisers beside ours, refusals."""

import csv
import json
import re

import numpy as np
import pytest
from scipy.optimize import curve_fit, minimize
from scipy.stats import spearmanr

import running
from synthtools.cli.app import TOOLS
from synthtools.measure.law_fit import Runs
from synthtools.measure.law_study import best_mixture, best_size, best_weight, study
from synthtools.measure.laws import LAWS, effective, mixture
from synthtools.reports.fit import FitReport, lines
from test_plot import check

run = running.synth
# Besiroglu et al. 2024, the refit of Hoffmann et al.'s third approach, on a grid of sizes like theirs.
CHINCHILLA = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
SIZES = np.repeat(np.geomspace(7e7, 1.6e10, 8), 8)
TOKENS = np.tile(np.geomspace(5e9, 5e11, 8), 8)
SHARES = np.random.default_rng(5).dirichlet(np.ones(3), 24)
UNIQUE = np.repeat([1e8, 4e8, 1.6e9], 24)
EPOCHS = {
    "N": np.tile(np.repeat(np.geomspace(1e7, 2e9, 4), 6), 3),
    "D": UNIQUE * np.tile([1, 2, 4, 10, 30, 60], 12),
    "U": UNIQUE,
}


def repeated(x, e, a, b, alpha, beta, r_d, r_n):
    """Muennighoff et al. 2023, equations 5 to 7, row by row."""
    losses = []
    for n, d, u in zip(x["N"], x["D"], x["U"], strict=True):
        u = min(u, d)
        best = (alpha * a / (beta * b)) ** (1 / (alpha + beta))  # G of Hoffmann et al.
        # N_opt(C) = G (C/6)^(β/(α+β)), D_opt(C) = (C/6)^(α/(α+β))/G = U
        budget = (u * best) ** ((alpha + beta) / alpha)
        u_n = min(n, best * budget ** (beta / (alpha + beta)))
        worth_d = u + u * r_d * (1 - np.exp(-(d / u - 1) / r_d))
        worth_n = u_n + u_n * r_n * (1 - np.exp(-(n / u_n - 1) / r_n))
        losses.append(e + a / worth_n**alpha + b / worth_d**beta)
    return np.array(losses)


def chinchilla(x, e, a, b, alpha, beta):
    return e + a / x["N"] ** alpha + b / x["D"] ** beta


SHARES_X = dict(zip("abc", SHARES.T, strict=True))
# A law; variables; parameters in the law's order; the loss, written down apart from the code.
FORMS = {
    "chinchilla": (
        LAWS["chinchilla"][0], {"N": SIZES, "D": TOKENS}, list(CHINCHILLA.values()), chinchilla,
    ),
    "kaplan": (
        LAWS["kaplan"][0], {"N": SIZES, "D": TOKENS}, [8.8e13, 5.4e13, 0.076, 0.095],
        lambda x, n, d, a, b: ((n / x["N"]) ** (a / b) + d / x["D"]) ** b,
    ),
    "power": (
        LAWS["power"][0], {"x": np.geomspace(1e6, 1e9, 10)}, [1.7, 400, 0.3],
        lambda x, e, a, alpha: e + a / x["x"] ** alpha,
    ),
    "rectified": (
        LAWS["rectified"][0], {"D": np.array([0, *np.geomspace(200, 1.6e6, 14)])},
        [1.1, 300, 150, 0.6], lambda x, e, b, d, beta: b / (d + x["D"] ** beta) + e,
    ),
    "repeat": (
        LAWS["repeat"][0], EPOCHS, [*CHINCHILLA.values(), 15.39, 5.31], repeated,
    ),
    "repeat, one size": (
        LAWS["repeat"][1], {"D": EPOCHS["D"], "U": UNIQUE}, [2.0, 1500, 0.35, 15.39],
        lambda x, e, b, beta, r: e + b / (x["U"] * (1 + r * (1 - np.exp((1 - x["D"] / x["U"]) / r)))) ** beta,
    ),
    "golden": (
        LAWS["golden"][0], {"w": np.linspace(0.1, 1, 10)}, [2.2, 0.3, 1.0],
        lambda x, e, c, k: e + c * (x["w"] ** 2 + k * (1 - x["w"]) ** 2) / (2 * x["w"] - x["w"] ** 2),
    ),
    "mixing": (
        mixture("mixing", "abc", SHARES), SHARES_X, [1.5, 2, -1.5, 0.4],
        lambda x, c, k, a, b: c + k * np.exp(a * x["a"] + b * x["b"]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_a_law_is_recovered_from_its_own_losses(name):
    law, x, true, loss = FORMS[name]
    found = Runs(law, x, loss(x, *true), 1e-3).fitted()
    assert list(found.parameters().values()) == pytest.approx(true, rel=1e-6)
    assert found.predict(x) == pytest.approx(loss(x, *true), rel=1e-9)
    assert found.determined()


@pytest.mark.parametrize("name", ["chinchilla", "kaplan", "power", "rectified", "golden", "mixing"])
def test_another_optimiser_finds_the_same(name):
    """With a wide delta Huber's loss is that of least squares: curve_fit on logarithms, from the truth."""
    law, x, true, loss = FORMS[name]
    y = loss(x, *true) * np.exp(
        1e-3 * np.random.default_rng(1).standard_normal(len(loss(x, *true)))
    )
    found = list(Runs(law, x, y, 10.0).fitted().parameters().values())
    signs = np.sign(true)

    def logs(_, *values):  # the parameters as multiples of the truth: scales differ by 1e13
        return np.log(loss(x, *(np.array(values) * true)))

    scaled, _ = curve_fit(logs, None, np.log(y), np.abs(signs), xtol=1e-14, ftol=1e-14, gtol=1e-14)
    assert found == pytest.approx(scaled * true, rel=1e-4)


def test_no_other_search_finds_a_smaller_loss():
    """Huber's loss with the published delta, by Nelder and Mead from the truth."""
    law, x, true, loss = FORMS["chinchilla"]
    y = loss(x, *true) * np.exp(5e-3 * np.random.default_rng(2).standard_normal(64))

    def mean(values):
        apart = np.abs(np.log(loss(x, *(values * true))) - np.log(y))
        return np.where(apart < 1e-3, apart**2 / 2, 1e-3 * (apart - 5e-4)).mean()

    found = Runs(law, x, y, 1e-3).fitted()
    other = minimize(
        mean, np.ones(5), method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-14}
    )
    assert mean(np.array(list(found.parameters().values())) / true) <= other.fun * (1 + 1e-9)


def within(name, true, noise, seed, fixed=None):
    law, x, values, loss = FORMS[name]
    y = loss(x, *values)
    y = y * np.exp(noise * np.random.default_rng(seed).standard_normal(len(y)))
    fields = {name: name for name in law.variables}
    runs = [Runs(law, x, y, 1e-3, fixed or {})]
    (fit,) = study(runs, ["L"], fields, 0, 100, 0, (None, None), {})["fits"]
    return [fit["intervals"][n][0] <= value <= fit["intervals"][n][1] for n, value in true.items()]


def test_published_constants_lie_within_the_intervals():
    assert all(within("chinchilla", CHINCHILLA, 2e-3, 0))
    # With the law of single epochs given, as Muennighoff et al. have it.
    decay = {"R_D": 15.39, "R_N": 5.31}
    assert all(within("repeat", decay, 3e-3, 0, CHINCHILLA))


def test_the_best_size_is_that_of_the_closed_form():
    """Hoffmann et al., equation 4: N_opt = G (C/6)^(β/(α+β)), D_opt = (C/6)^(α/(α+β))/G."""
    law, x, true, loss = FORMS["chinchilla"]
    fit = Runs(law, x, loss(x, *true), 1e-3).fitted()
    _, a, b, alpha, beta = true
    g = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
    best = best_size([fit], 5.76e23, None)
    assert best["N"] == pytest.approx(g * (5.76e23 / 6) ** (beta / (alpha + beta)), rel=1e-6)
    assert best["D"] == pytest.approx((5.76e23 / 6) ** (alpha / (alpha + beta)) / g, rel=1e-6)


def test_repeated_tokens_are_worth_what_the_paper_says():
    """Four epochs of U tokens are nearly 4 U; without end they are U (1 + R*)."""
    four, many = effective(np.ones(2), np.array([4.0, 1e6]), np.array(15.39))
    assert four == pytest.approx(1 + 15.39 * (1 - np.exp(-3 / 15.39)), rel=1e-12)
    assert four > 3.7 and many == pytest.approx(16.39, rel=1e-12)


def test_the_golden_weight_is_the_least_of_its_law():
    for k, expected in ((1.0, (np.sqrt(5) - 1) / 2), (4.0, 2 * np.sqrt(2) - 2)):
        law, x, _, loss = FORMS["golden"]
        fit = Runs(law, x, loss(x, 2.0, 0.5, k), 1e-3).fitted()
        best = best_weight([fit])
        assert best["w"] == pytest.approx(expected, rel=1e-6)
        assert expected == pytest.approx((np.sqrt(k**2 + 4 * k) - k) / 2, rel=1e-12)
        both = best_weight([fit, fit])
        assert both == pytest.approx(best, rel=1e-9)
        weights = np.linspace(0.01, 1, 10_000)
        assert weights[np.argmin(fit.predict({"w": weights}))] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("of_one", [True, False])
def test_the_best_mixture_is_that_of_a_grid(of_one):
    shares = SHARES if of_one else SHARES[:, :2]
    names = "abc"[: shares.shape[1]]
    law, x = mixture("mixing", names, shares), dict(zip(names, shares.T, strict=True))
    slopes = ([-1.5, 0.4, 0], [1.2, -2, 0], [1.2, 0.9, -0.3])
    some = SHARES_X if of_one else {**x, "c": 0}

    def losses(x):
        return [1.5 + np.exp(sum(s * x[n] for s, n in zip(t, "abc", strict=True))) for t in slopes]

    best = best_mixture([Runs(law, x, y, 1e-3).fitted() for y in losses(some)], 0)
    steps = np.linspace(0, 1, 401)
    a, b = (one.ravel() for one in np.meshgrid(steps, steps))
    a, b = a[a + b <= 1], b[a + b <= 1]
    mean = np.mean(losses({"a": a, "b": b, "c": (1 - a - b) if of_one else 0 * a}), axis=0)
    place = int(np.argmin(mean))
    assert [best["a"], best["b"]] == pytest.approx([a[place], b[place]], abs=5e-3)
    assert best["L"] <= mean[place] + 1e-9


def test_trees_find_a_valley():
    """RegMix on 256 runs: its trees rank runs that they have not seen, and the best mixture is the valley's."""
    draw = np.random.default_rng(4)
    shares = draw.dirichlet(np.ones(3), 320)
    exact = 2 + np.abs(shares[:, 0] - 0.3) + 2 * np.abs(shares[:, 1] - 0.5)
    y = exact + 0.02 * draw.standard_normal(320)
    x = dict(zip("abc", shares.T, strict=True))
    runs = Runs(mixture("regmix", "abc", shares), x, y, 1e-3).take(np.arange(256))
    fit = runs.fitted()
    assert spearmanr(fit.predict(x)[256:], exact[256:]).statistic > 0.97
    best = best_mixture([fit], 0)
    assert [best["a"], best["b"], best["c"]] == pytest.approx([0.3, 0.5, 0.2], abs=0.05)
    # Rows of no weight are not there.
    rows = {name: column[:128] for name, column in runs.x.items()}
    half = runs.take(np.arange(128)).fitted().predict(rows)
    assert runs.fitted(np.repeat([1.0, 0.0], 128)).predict(rows) == pytest.approx(half, abs=0.03)
    report = study([runs], ["y"], {name: name for name in "abc"}, 0, 10, 0, (None, None), {})
    best = report["optimum"]
    for name in "abc":
        low, high = best["intervals"][name]
        assert low <= best["figures"][name] <= high
    assert runs.take(np.arange(19)).fault({}) == "19 rows for boosted trees; give at least 20"


def test_a_polynomial_finds_the_valley_of_a_parabola():
    x = dict(zip("abc", SHARES.T, strict=True))
    y = 2 + (x["a"] - 0.3) ** 2 + (x["b"] - 0.5) ** 2
    fit = Runs(mixture("quadratic", "abc", SHARES), x, y, 1e-3).fitted()
    assert fit.predict(x) == pytest.approx(y, rel=1e-6)
    best = best_mixture([fit], 0)
    assert [best["a"], best["b"], best["c"]] == pytest.approx([0.3, 0.5, 0.2], abs=1e-4)


def test_quadratic_is_the_ridge_regression_of_scikit_learn():
    """The penalty with the least leave-one-out error, on features of variance 1."""
    from sklearn.linear_model import RidgeCV

    noise = 0.05 * np.random.default_rng(3).standard_normal(24)
    y = 2 + (SHARES[:, 0] - 0.3) ** 2 + noise
    fit = Runs(mixture("quadratic", "abc", SHARES), SHARES_X, y, 1e-3).fitted()
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    features = np.column_stack([SHARES, *(SHARES[:, i] * SHARES[:, j] for i, j in pairs)])
    features = (features - features.mean(0)) / features.std(0)
    other = RidgeCV(alphas=24 * np.logspace(-8, 2, 21)).fit(features, y)
    assert 24e-8 < other.alpha_ < 2400
    assert fit.predict(SHARES_X) == pytest.approx(other.predict(features), rel=1e-6)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Runs of a known law in CSV: what a user has."""
    path = tmp_path_factory.mktemp("fit") / "runs.csv"
    losses = chinchilla({"N": SIZES, "D": TOKENS}, *CHINCHILLA.values())
    losses = losses * np.exp(2e-3 * np.random.default_rng(0).standard_normal(64))
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["size", "tokens", "loss"])
        rows.writerows(zip(SIZES.tolist(), TOKENS.tolist(), losses.tolist(), strict=True))
    return path


WORDS = ["--law", "chinchilla", "--x", "size,tokens", "--y", "loss"]


def test_the_report(table, tmp_path):
    more = ["--flops", 1e21, "--at", "size=7e9,tokens=2e12", "--bootstrap", 40]
    found = json.loads(run("fit", table, *WORDS, *more, "--plot", tmp_path / "fit.svg"))
    check(found, FitReport, "fit")
    (fit,) = found["fits"]
    for name, value in CHINCHILLA.items():
        low, high = fit["intervals"][name]
        assert low < fit["figures"][name] < high
        assert low - (high - low) < value < high + (high - low)
    held = [one for one in fit["points"] if one["held_out"] is not None]
    assert len(held) == fit["held_out"]["rows"] >= 13  # a fifth of 64
    sizes = [one["x"]["size"] * one["x"]["tokens"] for one in fit["points"]]
    assert (
        min(one["x"]["size"] * one["x"]["tokens"] for one in held) == fit["held_out"]["from_size"]
    )
    assert sum(size >= fit["held_out"]["from_size"] * (1 - 1e-12) for size in sizes) == len(held)
    apart = [abs(one["held_out"] / one["observed"] - 1) for one in held]
    assert fit["held_out"]["mean_relative_error"] == pytest.approx(np.mean(apart), rel=1e-9)
    assert fit["held_out"]["mean_relative_error"] < 0.005
    best = found["optimum"]["figures"]
    assert 6 * best["size"] * best["tokens"] == pytest.approx(1e21, rel=1e-9)
    low, high = found["optimum"]["intervals"]["size"]
    assert low < best["size"] < high
    at = chinchilla({"N": 7e9, "D": 2e12}, *CHINCHILLA.values())
    assert found["prediction"]["figures"]["loss"] == pytest.approx(at, rel=5e-3)
    assert (tmp_path / "fit.svg").stat().st_size > 1000
    # A person reads four digits.
    assert f"  B      {fit['figures']['B']:.4g} [" in "\n".join(lines(found))
    assert not re.search(r"[1-9](\.?\d){4}", "\n".join(lines(found)[2:]))


def test_bytes_belong_to_the_seed(table):
    words = ["fit", table, *WORDS, "--bootstrap", 5]
    first, again, other = (json.loads(run(*words, "--seed", seed)) for seed in (1, 1, 2))
    assert first["fits"] == again["fits"]
    assert first["fits"][0]["figures"] == other["fits"][0]["figures"]
    assert first["fits"][0]["intervals"] != other["fits"][0]["intervals"]


def test_rows_of_a_table_are_runs(tmp_path):
    for tokens in (1e6, 3e6, 1e7, 3e7, 1e8):
        loss = 2 + 300 / tokens**0.4
        (tmp_path / f"{tokens:.0f}.json").write_text(
            json.dumps({"kind": "train", "made_by": {}, "valid": {"human": loss}})
        )
    pattern, rows = tmp_path / "{tokens}.json", tmp_path / "rows.parquet"
    report = run("table", pattern, "--take", "loss=valid.human", "--rows", rows, "--json")
    law = ["--law", "power", "--x", "tokens", "--y", "loss"]
    found = json.loads(run("fit", rows, *law))
    (tmp_path / "table.json").write_text(json.dumps(json.loads(report)))
    for words, stdin in (([tmp_path / "table.json"], b""), ([], report)):
        same = json.loads(run("fit", *words, *law, input=stdin))
        assert same["fits"] == found["fits"]
        assert same["made_by"]["inputs"][0]["fingerprint"]
    figures = found["fits"][0]["figures"]
    assert list(figures.values()) == pytest.approx([2, 300, 0.4], rel=1e-6)
    assert found["fits"][0]["curve"]["predicted"][0] == pytest.approx(2 + 300 / 1e6**0.4, rel=1e-6)
    report = tmp_path / "fit.json"
    report.write_text(json.dumps(found))
    again = json.loads(run("diff", report, report))
    assert again["rows"] == [] and again["equal"] > 5
    assert b"fits.loss.alpha" in run("diff", report, rows_of(report, tmp_path))


def test_another_report_has_no_rows(tmp_path):
    report = tmp_path / "ppl.json"
    report.write_text(json.dumps({"kind": "ppl", "made_by": {}}, indent=2))
    told = run("fit", report, "--law", "power", "--x", "tokens", "--y", "loss", code=1)
    assert told.strip() == (
        f"synth: {report}: a report of ppl, not rows; synth table takes numbers from reports as rows"
    )


def rows_of(report, path):
    other = json.loads(report.read_text())
    other["fits"][0]["figures"]["alpha"] += 1
    (path / "other.json").write_text(json.dumps(other))
    return path / "other.json"


FAULTS = [
    ("power", "x", [], 1, "no records"),
    ("power", "x", [{"x": 1, "y": 2}, {"x": 2, "y": 1}], 1, "2 rows for 3 parameters"),
    ("power", "x", [{"x": 2, "y": 2}] * 5, 1, "x is 2 in all rows"),
    ("power", "x", [{"x": 0, "y": 2}], 1, ':1: field "x" holds 0; power needs a number above 0'),
    ("power", "x", [{"x": 1, "y": -1}], 1, 'field "y" holds -1'),
    ("power", "x", [{"x": "many", "y": 1}], 1, "holds 'many'"),
    ("power", "x", [{"x": 1, "y": None}], 1, 'field "y" holds None'),
    ("power", "tokenz", [{"tokens": 1, "y": 1}], 1, 'no field "tokenz" (fields: tokens, y; use --x)'),
    ("power", "x", [{"x": k % 2 + 1, "y": 2 + k} for k in range(9)], 1, "2 different settings"),
    ("mixing", "a,b", [{"a": 20, "b": 80, "y": 1}], 1, "a share from 0 to 1"),
    ("chinchilla", "x", [], 2, "a field for each of N,D"),
    ("power", "y", [], 2, "is named twice"),
]  # fmt: skip


@pytest.mark.parametrize(("law", "x", "rows", "code", "told"), FAULTS)
def test_what_cannot_be_fitted_is_said(law, x, rows, code, told, tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if told == "no records":
        told = "0 rows for 3 parameters"
    assert told in run("fit", path, "--law", law, "--x", x, "--y", "y", code=code)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--law", "power", "--x", "x", "--flops", "1e20"], "--flops goes with"),
        (
            ["--law", "repeat", "--x", "d,u", "--flops", "1e20", "--unique", "1B"],
            "no parameters (N)",
        ),
        (["--law", "power", "--x", "x", "--unique", "10"], "--unique goes with"),
        (["--law", "power", "--x", "x", "--at", "z=1"], "--at: give each field of --x once: x"),
        (["--law", "power", "--x", "x", "--at", "x=0"], "--at x=0: power needs a number above 0"),
        (["--law", "mixing", "--x", "x", "--at", "x=20"], "--at x=20: mixing needs a share"),
        (["--law", "regmix", "--x", "x", "--fix", "a=1"], "--fix goes with"),
    ],
)
def test_options_that_do_not_go_together(more, told, tmp_path):
    assert told in run("fit", "-", *more, "--y", "y", code=2)


def test_bad_rows_are_skipped_and_kept(tmp_path):
    rows = [{"x": 10.0**k, "y": 2 + 300 / 10 ** (0.4 * k)} for k in range(3, 9)]
    path, rejects = tmp_path / "runs.jsonl", tmp_path / "bad.jsonl"
    bad = [{"x": 5, "y": None}, {"x": -1, "y": 3}]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows[:3], *bad, *rows[3:]]))
    words = ["--law", "power", "--x", "x", "--y", "y", "--bootstrap", 0]
    done = running.run("fit", path, *words, "--on-error", "skip", "--rejects", rejects, text=True)
    found = json.loads(done.stdout)
    assert found["rows"] == 6 and found["made_by"]["counts"]["skipped"] == 2
    assert [json.loads(line)["line"] for line in rejects.read_text().splitlines()] == [4, 5]
    assert found["fits"][0]["figures"]["alpha"] == pytest.approx(0.4, rel=1e-6)


def test_parameters_that_rows_cannot_tell_apart_are_noted(tmp_path):
    """Tokens in proportion to size, with equal exponents: only A + B is known."""
    x = {"N": np.geomspace(1e7, 1e10, 12), "D": 20 * np.geomspace(1e7, 1e10, 12)}
    y = 2 + 300 / x["N"] ** 0.3 + 300 / x["D"] ** 0.3
    assert not Runs(LAWS["chinchilla"][0], x, y, 1e-3).fitted().determined()


def test_a_loss_that_rises_is_no_power_law(tmp_path):
    path = tmp_path / "runs.jsonl"
    rows = [{"x": x, "y": 5 - 30 / x**0.4} for x in (1e3, 1e4, 1e5, 1e6, 1e7)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--law", "power", "--x", "x", "--y", "y", "--bootstrap", 0]
    assert "alpha is at its bound, 0.01" in json.loads(run("fit", path, *words))["notes"][0]


def test_an_unknown_parameter_is_named_with_its_neighbours(table):
    assert "near it: alpha" in run("fit", table, *WORDS, "--fix", "alfa=0.3", code=1)


def test_fit_loads_no_torch(table):
    import subprocess
    import sys

    code = "import sys, synthtools; synthtools.fit({!r}, law='chinchilla', x=['size', 'tokens'], y='loss', bootstrap=2); assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code.format(str(table))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "fit" in TOOLS
