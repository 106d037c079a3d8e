"""Data selection with importance resampling (DSIR): Xie et al. 2023, as in its authors' package.

Documents are bags of hashed uni- and bigrams. With the bucket shares p of the target and q of the raw data,

    log w(z) = Σ counts(z) · (ln(p + 1e-8) − ln(q + 1e-8))

and records are drawn without replacement with probability ∝ w, by Gumbel noise on log w.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthtools.errors import SynthError, parameter
from synthtools.records.jsonl import parse_value
from synthtools.text.ngram_buckets import NgramHasher

_FLOOR = 1e-8
_KIND = "dsir-estimator"


@dataclass(frozen=True)
class Features:
    """How documents become counts.

    Attributes:
        n: n-grams of 1 … n tokens.
        hash: ``fast`` or ``sha256`` (that of the authors' package).
    """

    n: int = 2
    buckets: int = 10_000
    hash: str = "fast"

    def hasher(self) -> NgramHasher:
        return NgramHasher(tuple(range(1, self.n + 1)), self.buckets, self.hash)  # type: ignore[arg-type]

    def tokens(self, ngrams: np.ndarray) -> np.ndarray:
        """The number of tokens for a number of n-grams, as in the authors' package."""
        return (ngrams + self.n * (self.n - 1) // 2) // self.n


@dataclass(frozen=True)
class Estimator:
    """Importance weights fitted to one raw corpus and one or several targets.

    Attributes:
        targets: name of each target, or of all combined.
        shares: of the selection, by target.
        target_counts: int64 [targets, buckets].
        raw_counts: int64 [buckets].
        smoothing: pseudo-count added to each bucket of either corpus (0 in the paper).
    """

    features: Features
    targets: tuple[str, ...]
    shares: tuple[float, ...]
    target_counts: np.ndarray
    raw_counts: np.ndarray
    smoothing: float = 0.0

    def log_ratios(self) -> np.ndarray:
        """ln(p + 1e-8) − ln(q + 1e-8), float64 [targets, buckets]. Raises SynthError: a target has no
        n-grams."""
        for name, counts in zip(self.targets, self.target_counts, strict=True):
            if not counts.sum():
                raise SynthError(f"target {name}: has no words to move towards")
        q = np.log(self._shares(self.raw_counts) + _FLOOR)
        return np.stack(
            [np.log(self._shares(counts) + _FLOOR) - q for counts in self.target_counts]
        )

    def _shares(self, counts: np.ndarray) -> np.ndarray:
        raised = counts + self.smoothing
        return raised / (raised.sum() or 1.0)  # raw data without words: there is nothing to weight

    def summary(self) -> dict[str, Any]:
        """The estimator's part of a report."""
        return {
            "n": self.features.n,
            "buckets": self.features.buckets,
            "hash": self.features.hash,
            "smoothing": self.smoothing,
            "targets": [
                {"name": name, "share": share, "tokens": int(self.features.tokens(counts.sum()))}
                for name, share, counts in zip(
                    self.targets, self.shares, self.target_counts, strict=True
                )
            ],
            "raw_tokens_fitted": int(self.features.tokens(self.raw_counts.sum())),
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": _KIND,
            "n": self.features.n,
            "buckets": self.features.buckets,
            "hash": self.features.hash,
            "smoothing": self.smoothing,
            "targets": list(self.targets),
            "shares": list(self.shares),
            "target_counts": self.target_counts.tolist(),
            "raw_counts": self.raw_counts.tolist(),
        }

    @classmethod
    def load(cls, path: Path) -> Estimator:
        """Raises SynthError: the file is not an estimator."""
        try:
            content = parse_value(path.read_bytes())
        except OSError as error:
            raise SynthError(f"{path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise SynthError(
                f"{path}: not an estimator that {parameter('save_estimator')} wrote"
            ) from error
        try:
            if content["kind"] != _KIND:
                raise KeyError("kind")
            features = Features(int(content["n"]), int(content["buckets"]), str(content["hash"]))
            targets = np.array(content["target_counts"], np.int64)
            raw = np.array(content["raw_counts"], np.int64)
            if features.hash not in ("fast", "sha256") or (targets < 0).any() or (raw < 0).any():
                raise ValueError("counts")
            names = tuple(map(str, content["targets"]))
            shares = tuple(map(float, content["shares"]))
            if targets.shape != (len(names), features.buckets) or raw.shape != (features.buckets,):
                raise ValueError("shape")
            if len(shares) != len(names):
                raise ValueError("shares")
            return cls(features, names, shares, targets, raw, float(content["smoothing"]))
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise SynthError(
                f"{path}: not an estimator that {parameter('save_estimator')} wrote (see {error})"
            ) from error


def parts_of(count: int, shares: tuple[float, ...]) -> list[int]:
    """The number of records for each target, rounded as in the authors' package: the last gets the rest."""
    parts = [int(count * share) for share in shares]
    parts[-1] += count - sum(parts)
    return parts


def spread(values: np.ndarray) -> dict[str, float] | None:
    """Mean and percentiles of log-weights; None without any."""
    if not len(values):
        return None
    low, middle, high = np.percentile(values, (5, 50, 95)).tolist()
    return {"mean": float(values.mean()), "p5": low, "median": middle, "p95": high}
