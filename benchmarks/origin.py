"""How right `synth origin` is, and how often it declines.

ORIGIN_DATA names a folder of domains, DOMAIN/human-NAME.jsonl and DOMAIN/synthetic-NAME.jsonl with a field
text; ORIGIN_MODEL the model (builtin), ORIGIN_DTYPE its precision (auto). Numbers of documents are kept beside
their files, DOMAIN/NAME.MODEL.npy, where a second run finds them. ORIGIN_REPETITIONS (20) random halves of each source calibrate, corpora come from the
others, each document at most once: 400 of them, or as many as there are. ORIGIN_PARTS chooses
domains, all (domains as one), unseen (models), others (domains), sizes.
"""

import os
import time
from pathlib import Path

import numpy as np

from benchmarks.common import machine
from synthtools.measure.labelled_sources import (
    FEATURES,
    REQUEST,
    Classifier,
    LabelledSource,
    Pool,
    measured,
)
from synthtools.measure.origin_estimate import (
    APART,
    FARTHEST,
    FARTHEST_MOVED,
    FEWEST,
    OriginEstimator,
    anchored,
)
from synthtools.measure.quantification import estimate, misfit

SHARES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5)
MOST, RESAMPLES, TOKENS = 400, 40, 160
DTYPE = os.environ.get("ORIGIN_DTYPE", "auto")
REPETITIONS = int(os.environ.get("ORIGIN_REPETITIONS", 20))

Sources = dict[str, list[LabelledSource]]


def loaded(folder: Path, model: str) -> Sources:
    """The sources of each domain, scored where that has not been done."""
    score_missing(folder, model)
    found: Sources = {}
    for path in texts(folder):
        domain, name = path.parent.name, path.name.partition(".")[0]
        rows = np.load(kept(path, model))
        found.setdefault(domain, []).append(
            LabelledSource(name, name.startswith("synthetic-"), rows)
        )
    return found


def texts(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.jsonl*"))


def kept(path: Path, model: str) -> Path:
    """Where the numbers of a source are kept."""
    return path.parent / f"{path.name.partition('.')[0]}.{model}.npy"


def score_missing(folder: Path, model: str) -> None:
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.lm.open_models import open_model
    from synthtools.records.inputs import find_shards
    from synthtools.records.reader import read
    from synthtools.records.rejects import Rejects

    missing = [path for path in texts(folder) if not kept(path, model).exists()]
    if not missing:
        return
    settings = ModelSettings(ModelName(model), backend="torch", dtype=DTYPE)
    with open_model(settings, REQUEST) as opened:
        for path in missing:
            start = time.perf_counter()
            batches = read(find_shards([str(path)]), Rejects())
            parts = [d for _, d in measured(batches, opened, "text", TOKENS, Rejects())]
            rows = np.concatenate([part.features[part.long_enough] for part in parts])
            np.save(kept(path, model), rows)
            rate = TOKENS * len(rows) / (time.perf_counter() - start)
            print(f"{path}: {len(rows)} documents, {rate:,.0f} tokens/s", flush=True)


def halves(sources: list[LabelledSource], draw: np.random.Generator) -> list[list[LabelledSource]]:
    first, second = [], []
    for one in sources:
        rows = one.features[draw.permutation(len(one.features))]
        first.append(one._replace(features=rows[: len(rows) // 2]))
        second.append(one._replace(features=rows[len(rows) // 2 :]))
    return [first, second]


def corpus(
    sources: list[LabelledSource], share: float, draw: np.random.Generator, most: int = MOST
) -> tuple[np.ndarray, float]:
    """Documents of both labels, the sources of a label in equal parts as far as they reach, and the share
    of synthetic ones as it came to be."""
    pools = []
    for synthetic in (False, True):
        of_label = [one.features for one in sources if one.synthetic == synthetic]
        least = min((len(rows) for rows in of_label), default=0)
        parts = [rows[draw.permutation(len(rows))[:least]] for rows in of_label]
        pools.append(
            draw.permutation(np.concatenate(parts)) if parts else np.zeros((0, len(FEATURES)))
        )
    human, synthetic = pools
    reach = [len(human) / (1 - share)] if share < 1 else []
    reach += [len(synthetic) / share] if share > 0 else []
    count = int(min(most, *reach))
    made = round(count * share)
    return np.concatenate([human[: count - made], synthetic[:made]]), made / max(1, count)


class Tally:
    """Estimates beside the truth."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, float, float]] = []
        self.declined = self.documents = 0

    def add(
        self,
        sources: list[LabelledSource],
        features: np.ndarray,
        truth: float,
        seed: int,
        moved: bool = False,
    ) -> None:
        pool = Pool.of(sources)
        self.documents += len(features)
        once, more = np.ones(len(features)), {"resamples": RESAMPLES, "seed": seed}
        farthest = FARTHEST_MOVED if moved else FARTHEST
        unfit = len(features) < FEWEST or OriginEstimator(sources, 20, 0).auc < APART
        if unfit or misfit(pool, features, once, **more)[2] <= farthest:
            self.declined += 1
            return
        found = estimate(pool, Classifier(pool), features, moved=moved, **more)
        self.rows.append((truth, found.share, found.low, found.high))

    def line(self) -> str:
        total = len(self.rows) + self.declined
        words = f"n {self.documents / max(1, total):4.0f}  declined {self.declined / total:4.0%}"
        if not self.rows:
            return words
        truth, share, low, high = np.array(self.rows).T
        covered = (low <= truth) & (truth <= high)
        error = np.abs(share - truth)
        return (
            f"{words}  error {100 * error.mean():4.1f} (median {100 * np.median(error):4.1f})  covered "
            f"{covered.mean():4.0%}  covered or declined {(covered.sum() + self.declined) / total:4.0%}  "
            f"± {50 * (high - low).mean():4.1f}"
        )


def main() -> None:
    folder, model = os.environ.get("ORIGIN_DATA"), os.environ.get("ORIGIN_MODEL", "builtin")
    if folder is None:
        print("origin: ORIGIN_DATA names no folder; left out")
        return
    domains = loaded(Path(folder), model)
    whole = {k: v for k, v in domains.items() if len({one.synthetic for one in v}) == 2}
    print(machine(), f"\n{model}; errors and ± in points of the share")
    for name in os.environ.get("ORIGIN_PARTS", "domains,all,unseen,others,sizes").split(","):
        PARTS[name](domains, whole)


def in_domains(_: Sources, whole: Sources) -> None:
    for name, sources in whole.items():
        in_domain(name, sources)


def in_all(_: Sources, whole: Sources) -> None:
    in_domain("all", [one for sources in whole.values() for one in sources])


def in_domain(name: str, sources: list[LabelledSource]) -> None:
    draw = np.random.default_rng(0)
    for share in SHARES:
        tally, start = Tally(), time.perf_counter()
        for seed in range(REPETITIONS):
            known, unknown = halves(sources, draw)
            tally.add(known, *corpus(unknown, share, draw), seed)
        seconds = (time.perf_counter() - start) / REPETITIONS
        print(f"  {name:10} {share:4.0%}  {tally.line()}  {seconds:.1f} s", flush=True)


def unseen_models(_: Sources, whole: Sources) -> None:
    print("a model that the calibration lacks, 20 % and 50 %")
    draw = np.random.default_rng(1)
    for name, sources in whole.items():
        tally = Tally()
        for left_out in [one.name for one in sources if one.synthetic]:
            for seed in range(max(1, REPETITIONS // 4)):
                known, unknown = halves(sources, draw)
                known = [one for one in known if one.name != left_out]
                unknown = [one for one in unknown if one.name == left_out or not one.synthetic]
                for share in (0.2, 0.5):
                    tally.add(known, *corpus(unknown, share, draw), seed)
        print(f"  {name:10} {tally.line()}", flush=True)


def other_domains(domains: Sources, whole: Sources) -> None:
    print("another domain (0, 20, 50 %; 0 or 100 % where it has one label), plain and anchored")
    draw = np.random.default_rng(2)
    every, every_anchored = Tally(), Tally()
    for name, sources in whole.items():
        for other, targets in domains.items():
            if other == name:
                continue
            labels = {one.synthetic for one in targets}
            tally, moved = Tally(), Tally()
            shares = (0.0, 0.2, 0.5) if len(labels) == 2 else (float(labels.pop()),)
            for share in shares:
                for seed in range(max(1, REPETITIONS // 5)):
                    known, unknown = halves(targets, draw)
                    features, truth = corpus(unknown, share, draw)
                    tally.add(sources, features, truth, seed)
                    human = [one.features for one in known if not one.synthetic]
                    if human and share < 1:
                        own = LabelledSource("own", False, np.concatenate(human))
                        moved.add(anchored(sources, own), features, truth, seed, moved=True)
            for one, sum_of in ((tally, every), (moved, every_anchored)):
                sum_of.rows += one.rows
                sum_of.declined += one.declined
                sum_of.documents += one.documents
            print(f"  {name:10} → {other:10} {tally.line()}")
            if moved.rows or moved.declined:
                print(f"  {'':25} anchored {moved.line()}", flush=True)
    print(f"  all pairs  {every.line()}\n  anchored   {every_anchored.line()}")


def grown(source: LabelledSource, count: int, draw: np.random.Generator) -> LabelledSource:
    """More documents than there are: drawn again, each moved by a quarter of the source's spread."""
    rows = source.features[draw.integers(0, len(source.features), count)]
    noise = draw.multivariate_normal(np.zeros(rows.shape[1]), np.cov(source.features.T), count)
    return source._replace(features=rows + noise / 4)


def sizes(_: Sources, whole: Sources) -> None:
    print("as many documents of the corpus as of each label of the calibration, 20 %, drawn again")
    draw = np.random.default_rng(3)
    for name, sources in whole.items():
        for count in (200, 800, 2000):
            tally = Tally()
            for seed in range(max(1, REPETITIONS // 5)):
                labels = [one.synthetic for one in sources]
                known, unknown = (
                    [grown(s, 1 + count // labels.count(s.synthetic), draw) for s in sources]
                    for _ in range(2)
                )
                tally.add(known, *corpus(unknown, 0.2, draw, count), seed)
            print(f"  {name:10} {count:6,}  {tally.line()}", flush=True)


PARTS = {
    "sizes": sizes,
    "domains": in_domains,
    "all": in_all,
    "unseen": unseen_models,
    "others": other_domains,
}
