"""``synth embed``: vectors of documents, and the map of several corpora."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.model_options import VectorModel
from synthtools.cli.options import Inputs, Output, Seed, TextField, Workers
from synthtools.cli.parameters import option

_LIMIT = "2000"
_METHOD = "tsne"
_NEIGHBOURS = 5
_PERMUTATIONS = 999


def embed(
    reading: Inputs,
    text: TextField,
    writing: Output,
    seed: Seed,
    model: VectorModel,
    jobs: Workers,
    pooling: Annotated[
        str | None,
        option(
            "--pooling",
            metavar="mean|last|cls",
            help="The mean of the last hidden states over the text [ours], the state of its last "
            "token, or (sentence encoders only) of the first special token. Default: what the "
            "encoder's own configuration says, else mean.",
        ),
    ] = None,
    normalize: Annotated[
        bool,
        option(
            "--normalize",
            help="Scale vectors to length 1: distances are then in the order of cosines.",
        ),
    ] = False,
    max_tokens: Annotated[
        int | None,
        option(
            "--max-tokens",
            metavar="N",
            min=1,
            help="Let only the first N tokens of each text count (default: all). Inputs of different "
            "lengths are then compared over equal lengths, and long texts take less time.",
        ),
    ] = None,
    map_: Annotated[
        bool,
        option(
            "--map",
            help="Report a map and what tells the inputs apart instead of records.",
        ),
    ] = False,
    vector_field: Annotated[
        str | None,
        option(
            "--vector-field",
            metavar="FIELD",
            help="With --map: take the vectors that are in this field as they are; no model.",
        ),
    ] = None,
    limit: Annotated[
        str,
        option(
            "--limit",
            metavar="N",
            help="With --map: draw at most so many documents from each group, or all.",
        ),
    ] = _LIMIT,
    by: Annotated[
        str | None,
        option(
            "--by",
            metavar="FIELD",
            help="With --map: the values of this field are the groups (default: the inputs).",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        option(
            "--reference",
            metavar="GROUP",
            help="With --map: the group that comes first (default: the first input; with --by the "
            "first value in the order of the alphabet).",
        ),
    ] = None,
    method: Annotated[
        str,
        option(
            "--method",
            metavar="tsne|umap|pca",
            help="How vectors come into two dimensions: t-SNE (needs [map]), UMAP (needs [umap]) or "
            "principal components.",
        ),
    ] = _METHOD,
    neighbours: Annotated[
        int,
        option(
            "--neighbours",
            metavar="K",
            min=1,
            help="Nearest neighbours of accuracy, coverage, density and isolation; odd.",
        ),
    ] = _NEIGHBOURS,
    permutations: Annotated[
        int,
        option(
            "--permutations",
            metavar="P",
            min=0,
            help="Permutations of the p-values: the least one can be 1/(P + 1).",
        ),
    ] = _PERMUTATIONS,
    plot: Annotated[
        str | None,
        option(
            "--plot", metavar="FILE", help="Draw the map as PNG or SVG (needs [plot]); with --map."
        ),
    ] = None,
    json_output: Annotated[
        bool, option("--json", help="Print the report as JSON at a terminal too.")
    ] = False,
) -> None:
    """Vectors of documents, and a map of several corpora.

    Adds the field embedding: float32 lists of a fixed size in Parquet and Arrow, lists in JSON, null
    for a text without tokens. Nothing is cut off but by --max-tokens. A text beyond the context goes through
    overlapping windows: for mean each token counts once; for last one window ends with the text;
    for cls the windows' vectors are averaged by their tokens [ours].

    --map draws a sample of each input and reports coordinates of each document (t-SNE) and, for
    each two inputs, numbers [ours]: energy distance, MMD (Gaussian kernel as wide as the median
    distance), accuracy of k nearest neighbours at telling the inputs apart, coverage and density of
    the first by the second (Naeem et al. 2020), and the share of documents whose neighbours are all
    of their own input (isolated). Each has the value that is expected if there were no difference,
    and a permutation p-value, which is not corrected for the number of comparisons. Topic, length
    and language tell corpora apart as well as who wrote them: compare like with like.

    \b
    Examples:
      synth embed human.jsonl -o embedded.parquet
      synth embed human.jsonl --vector-model ./all-MiniLM-L6-v2 | synth ngram-hash --density
      synth embed human.jsonl synthetic.jsonl --map --limit 2000 --plot map.png
      synth embed human.jsonl synthetic.jsonl --map --max-tokens 512 --plot map.png
      synth embed embedded.parquet --map --vector-field embedding --by model --json | jq '.pairs[0].coverage'

    Time is that of the model over all tokens drawn: 2,000 encyclopedia articles and 2,000 answers, 23 MB,
    took the built-in model 22 minutes of one core; --max-tokens shortens it.

    Memory: the model, some MB of text ahead. With --map the drawn records wait in TMPDIR; for N
    documents of all groups 30 bytes a number of their vectors, 2,000 bytes a document, at most 500
    MB of distances and neighbours, and what t-SNE holds (about 3 kB a document); 8 to 16 bytes for
    each record read.
    """
    from synthtools.cli import mapping
    from synthtools.cli.map_groups import Map
    from synthtools.errors import UsageError

    how = mapping.Pooling(pooling, normalize, max_tokens)
    if not map_:
        given = {
            "--vector-field": vector_field is not None,
            "--limit": limit != _LIMIT,
            "--by": by is not None,
            "--reference": reference is not None,
            "--method": method != _METHOD,
            "--neighbours": neighbours != _NEIGHBOURS,
            "--permutations": permutations != _PERMUTATIONS,
            "--plot": plot is not None,
            "--json": json_output,
        }
        for name, there in given.items():
            if there:
                raise UsageError(f"{name} goes with --map")
        mapping.run_records(reading, text, writing, model, jobs, how)
        return
    if writing.output or writing.format or writing.resume:
        raise UsageError(
            "--map prints a report, not records: it does not go with -o, --format or --resume "
            "(--report FILE keeps it)"
        )
    options = Map(
        vector_field, limit, by, reference, method, neighbours, permutations, plot, seed.seed
    )
    mapping.run_map(reading, text, writing, model, jobs, how, options, json_output)
