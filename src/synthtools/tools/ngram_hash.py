"""``synth ngram-hash``: hashed n-grams, near-duplicates and density."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.options import Inputs, Output, Seed, TextField, Workers
from synthtools.cli.parameters import option


def ngram_hash(
    reading: Inputs,
    text: TextField,
    writing: Output,
    seed: Seed,
    jobs: Workers,
    n: Annotated[
        str, option("--n", metavar="N,…", help="Lengths of the n-grams, in tokens.")
    ] = "1,2",
    buckets: Annotated[
        int | None,
        option(
            "--buckets",
            metavar="B",
            min=2,
            help="Hash buckets (default 10,000; 20,000 a row for density).",
        ),
    ] = None,
    hash_name: Annotated[
        str,
        option(
            "--hash",
            metavar="fast|sha256",
            help="Hash of an n-gram: a fast 64-bit one, or that of the DSIR package (slower).",
        ),
    ] = "fast",
    top: Annotated[
        int,
        option(
            "--top",
            metavar="K",
            min=0,
            help="Report the K most frequent n-grams of each length (takes several times as long as "
            "the counts alone); with --compare also those that stand out.",
        ),
    ] = 0,
    exact: Annotated[
        bool,
        option(
            "--exact",
            help="Count every n-gram for --top, slowly and in memory that grows with them. Without "
            "it a batch of 4 MB counts those that make 1 in 8,192 of it, and the report says by how "
            "much a count can be too low.",
        ),
    ] = False,
    compare: Annotated[
        bool,
        option(
            "--compare",
            help="Compare the inputs, each with each: divergences, the buckets that differ most, "
            "n-grams that stand out.",
        ),
    ] = False,
    duplicates: Annotated[
        bool,
        option(
            "--duplicates",
            help="Find near-duplicates within and across the inputs (MinHash-LSH); -o writes the "
            "pairs as records.",
        ),
    ] = False,
    threshold: Annotated[
        float,
        option(
            "--threshold",
            metavar="J",
            min=0.01,
            max=1,
            help="Least estimated Jaccard similarity of near-duplicates.",
        ),
    ] = 0.8,
    permutations: Annotated[
        int, option("--permutations", metavar="P", min=2, max=4096, help="Values of a signature.")
    ] = 128,
    shingle: Annotated[
        int, option("--shingle", metavar="W", min=1, help="Tokens of a shingle.")
    ] = 5,
    density: Annotated[
        bool,
        option(
            "--density",
            help="Report how densely the records' vectors lie (the sketch of Sachdeva et al., 1,000 "
            "rows of 20,000 buckets).",
        ),
    ] = False,
    per_record: Annotated[
        str | None,
        option(
            "--per-record",
            metavar="minhash|density",
            help="Write the records with a field minhash (the signature) or density.",
        ),
    ] = None,
    vector_field: Annotated[
        str, option("--vector-field", metavar="FIELD", help="The vectors, for density.")
    ] = "embedding",
    vector_model: Annotated[
        str | None,
        option(
            "--vector-model",
            metavar="NAME",
            help="Take the vectors for density from this model instead (builtin, a directory or a "
            "Hub id; a sentence encoder too), as synth embed does.",
        ),
    ] = None,
    rows: Annotated[
        int, option("--rows", metavar="R", min=1, help="Hash rows of the density sketch.")
    ] = 1000,
    width: Annotated[
        float | None,
        option(
            "--width",
            metavar="W",
            min=0,
            help="Width of a bucket of the density sketch, in units of the vectors (default: the "
            "mean distance between two of the first 1,000).",
        ),
    ] = None,
    plot: Annotated[
        str | None,
        option("--plot", metavar="FILE", help="Draw the report as PNG or SVG (needs [plot])."),
    ] = None,
    json_output: Annotated[
        bool, option("--json", help="Print the report as JSON at a terminal too.")
    ] = False,
) -> None:
    """Hashed n-grams of records: how broad a corpus is, and how two differ.

    Tokens are lower-cased runs of letters, digits and underscores, or of other signs but space.
    Each n-gram falls into one of the buckets; the counts are the response (ToEdit): broad for human
    text, concentrated for synthetic text. Beside it stand entropy, Gini and the share of the fullest
    buckets [ours], and the most frequent n-grams themselves.

    --compare does this for each input and sets them against each other. --duplicates finds pairs
    and clusters of near-duplicates by MinHash signatures equal to datasketch's. --density measures
    where vectors crowd; --per-record writes signatures or densities into the records instead.

    \b
    Examples:
      synth ngram-hash human.jsonl.zst
      synth ngram-hash human.jsonl.zst synthetic.jsonl.zst --compare --json | jq '.pairs[0].js'
      synth ngram-hash train.jsonl eval.jsonl --duplicates -o pairs.jsonl
      synth ngram-hash embedded.parquet --per-record density | synth sample -n 1000 --by density --inverse

    Memory: about 150 MB a core, and with --exact 100 bytes for each distinct n-gram; with
    --duplicates 4 bytes for each value of every record's signature; with density rows × buckets × 8
    bytes. It does not grow with the input otherwise. Density reads the input twice; the vectors of
    --vector-model wait in TMPDIR.
    """
    from synthtools.cli import hashing

    modes = [name for name, on in (("compare", compare), ("duplicates", duplicates)) if on]
    modes += ["density"] if density else []
    modes += ["per-record"] if per_record is not None else []
    hashing.check(modes, per_record, hash_name, writing, plot, json_output)
    if per_record == "density" or density:
        vectors = hashing.Vectors(
            vector_field, vector_model, rows, buckets or 20_000, width, seed.seed
        )
        hashing.run_density(
            reading, text, writing, jobs, vectors, per_record is not None, plot, json_output
        )
    elif per_record == "minhash":
        hashing.run_signatures(reading, text, writing, jobs, permutations, shingle)
    elif duplicates:
        hashing.run_duplicates(
            reading, text, writing, jobs, permutations, shingle, threshold, plot, json_output
        )
    else:
        counting = hashing.Counting(n, buckets or 10_000, hash_name, top, exact)
        hashing.run_counts(reading, text, writing, jobs, counting, compare, plot, json_output)
