# The Python API as editors see it: made by docs/generate_pages.py; do not edit
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

__version__: str

class ArrowStream(Protocol):
    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...

Record = dict[str, Any]
Report = dict[str, Any]
Input = str | os.PathLike[str] | Mapping[str, float] | Iterable[Record] | ArrowStream

def ngram_hash(
    *files: Input,
    n: list[int] | int | None = ...,
    buckets: int | None = ...,
    hash: Literal['fast', 'sha256'] = ...,
    top: int = ...,
    exact: bool = ...,
    compare: bool = ...,
    duplicates: bool = ...,
    threshold: float = ...,
    permutations: int = ...,
    shingle: int = ...,
    density: bool = ...,
    per_record: Literal['minhash', 'density'] | None = ...,
    vector_field: str = ...,
    vector_model: str | None = ...,
    rows: int = ...,
    width: float | None = ...,
    shard: str | None = ...,
    on_error: Literal['fail', 'skip'] = ...,
    rejects: str | None = ...,
    text_field: str = ...,
    output: str | None = ...,
    format: str | None = ...,
    nan: str = ...,
    force: bool = ...,
    resume: bool = ...,
    shard_size: str = ...,
    report: str | None = ...,
    plot: str | None = ...,
    seed: int = ...,
    ray: str | None = ...,
    jobs: int | None = ...,
) -> Iterator[Record] | Report:
    """Hashed n-grams of records: how broad a corpus is, and how two differ."""

def sample(
    *files: Input,
    count: int | str,
    by: str | None = ...,
    scale: Literal['auto', 'linear', 'log'] = ...,
    inverse: bool = ...,
    with_replacement: bool = ...,
    stratify_by: str | None = ...,
    allocation: Literal['proportional', 'equal'] = ...,
    or_all: bool = ...,
    rest: str | None = ...,
    shard: str | None = ...,
    on_error: Literal['fail', 'skip'] = ...,
    rejects: str | None = ...,
    text_field: str = ...,
    output: str | None = ...,
    format: str | None = ...,
    nan: str = ...,
    force: bool = ...,
    resume: bool = ...,
    shard_size: str = ...,
    report: str | None = ...,
    plot: str | None = ...,
    seed: int = ...,
) -> Iterator[Record] | Report:
    """Draw N records, uniformly or by a weight field, in one pass."""

def dsir(
    *files: Input,
    target: list[str] | str | None = ...,
    count: int | str | None = ...,
    weights: bool = ...,
    top_k: bool = ...,
    n: int = ...,
    buckets: int = ...,
    hash: Literal['fast', 'sha256'] = ...,
    min_tokens: int = ...,
    smoothing: float = ...,
    fit_tokens: int | str | None = ...,
    target_text_field: str | None = ...,
    save_estimator: str | None = ...,
    estimator: str | None = ...,
    shard: str | None = ...,
    on_error: Literal['fail', 'skip'] = ...,
    rejects: str | None = ...,
    text_field: str = ...,
    output: str | None = ...,
    format: str | None = ...,
    nan: str = ...,
    force: bool = ...,
    resume: bool = ...,
    shard_size: str = ...,
    report: str | None = ...,
    plot: str | None = ...,
    seed: int = ...,
    ray: str | None = ...,
    jobs: int | None = ...,
) -> Iterator[Record] | Report:
    """Select the records that are most like a target (DSIR, Xie et al. 2023)."""

def simulate(
    *,
    samples: int | str = ...,
    features: int | str = ...,
    noise: float = ...,
    generations: int = ...,
    repetitions: int | str = ...,
    workflow: list[Literal['replace', 'accumulate', 'accumulate-subsample', 'edit']] | Literal['replace', 'accumulate', 'accumulate-subsample', 'edit'] | None = ...,
    edit_share: float = ...,
    edit_decay: float = ...,
    masks: Literal['disjoint', 'nested', 'random'] = ...,
    seed: int = ...,
    plot: str | None = ...,
    report: str | None = ...,
    jobs: int | None = ...,
) -> Iterator[Record] | Report:
    """Theory of iterated data: test error of a linear model by generation."""

def stats(
    *files: Input,
    by: str | None = ...,
    measures: list[Literal['lengths', 'vocabulary', 'heaps', 'ngrams', 'compression', 'self-bleu', 'openings', 'tokens', 'semantic', 'rates']] | Literal['lengths', 'vocabulary', 'heaps', 'ngrams', 'compression', 'self-bleu', 'openings', 'tokens', 'semantic', 'rates'] | None = ...,
    tests: list[Literal['words', 'ttr', 'mtld', 'hdd', 'entropy', 'lexical_diversity', 'all', 'none']] | Literal['words', 'ttr', 'mtld', 'hdd', 'entropy', 'lexical_diversity', 'all', 'none'] | None = ...,
    rate: list[str] | str | None = ...,
    tokenizer: str | None = ...,
    vector_field: str | None = ...,
    vector_model: str | None = ...,
    sample: int = ...,
    pooled: int = ...,
    vectors: int = ...,
    words: int = ...,
    match_words: int | str | None = ...,
    shard: str | None = ...,
    on_error: Literal['fail', 'skip'] = ...,
    rejects: str | None = ...,
    text_field: str = ...,
    report: str | None = ...,
    plot: str | None = ...,
    seed: int = ...,
    ray: str | None = ...,
    jobs: int | None = ...,
) -> Iterator[Record] | Report:
    """How long, how rich and how varied texts are, and whether corpora differ."""

def plot(
    *reports: Input,
    output: str | None = ...,
    data: str | None = ...,
    shares: list[float | str] | float | str | None = ...,
    force: bool = ...,
) -> Iterator[Record] | Report:
    """Draw reports: figures, pictures at the terminal, or one page to send."""
