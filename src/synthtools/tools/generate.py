"""``synth generate``: models answer prompts, rephrase, go on, make new tasks."""

from __future__ import annotations

from typing import Annotated

from synthtools.cli.generators import Generators
from synthtools.cli.options import Inputs, Output, Seed, Workers
from synthtools.cli.parameters import option


def generate(
    reading: Inputs,
    writing: Output,
    seed: Seed,
    models: Generators,
    jobs: Workers,
    prompt_field: Annotated[
        str | None,
        option(
            "--prompt-field",
            metavar="FIELD",
            help="The field that holds the prompt: a text, or a list of {role, content}. Default "
            "prompt; text with --style and --continue.",
        ),
    ] = None,
    template: Annotated[
        str | None,
        option(
            "--template",
            metavar="TEXT|@FILE",
            help="Make the prompt of several fields: 'Summarise: {text}'. {{ and }} are braces.",
        ),
    ] = None,
    context_field: Annotated[
        str | None,
        option(
            "--context-field",
            metavar="FIELD",
            help="Put the text in this field before the prompt.",
        ),
    ] = None,
    system: Annotated[
        str | None,
        option("--system", metavar="TEXT|@FILE", help="The system's message of each conversation."),
    ] = None,
    plain: Annotated[
        bool,
        option(
            "--plain",
            help="Go on with the prompt as it is, in no conversation. Without it the prompt is a "
            "user's message, rendered by the model's chat template; a model that has none is given "
            "User: … Assistant: [ours].",
        ),
    ] = False,
    samples: Annotated[
        int,
        option(
            "--samples", "-n", metavar="N", min=1, help="Answers of each prompt, a record each."
        ),
    ] = 1,
    temperature: Annotated[
        float,
        option(
            "--temperature",
            metavar="T",
            min=0.0,
            help="Divides the logits (Baskets: 0.7); 0 takes the most probable token.",
        ),
    ] = 0.7,
    top_p: Annotated[
        float,
        option(
            "--top-p",
            metavar="P",
            min=0.0,
            max=1.0,
            help="Draw from the fewest tokens that together have probability P (Baskets: 0.9).",
        ),
    ] = 0.9,
    top_k: Annotated[
        int | None,
        option("--top-k", metavar="K", min=1, help="Draw from the K most probable tokens."),
    ] = None,
    max_new_tokens: Annotated[
        int,
        option(
            "--max-new-tokens",
            metavar="N",
            min=1,
            help="Tokens of an answer at most (Baskets: 1,024); fewer where the context ends.",
        ),
    ] = 1024,
    stop: Annotated[
        list[str] | None,
        option(
            "--stop",
            metavar="TEXT",
            help="An answer ends before this text; several by repeating the option.",
            show_default=False,
        ),
    ] = None,
    schema: Annotated[
        str | None,
        option(
            "--schema",
            metavar="FILE",
            help="JSON schema that answers keep to (vLLM, and servers that can).",
        ),
    ] = None,
    regex: Annotated[
        str | None,
        option(
            "--regex",
            metavar="REGEX",
            help="Regular expression that answers match (vLLM and its servers).",
        ),
    ] = None,
    assign: Annotated[
        str,
        option(
            "--assign",
            metavar="single|stratified",
            help="Of several models: each answers every prompt (sets of a single source), or each "
            "answers an equal share (a set of several sources; Baskets, arXiv 2511.01490).",
        ),
    ] = "single",
    stratify_by: Annotated[
        str | None,
        option(
            "--stratify-by",
            metavar="FIELD",
            help="With --assign stratified: equal shares of every value of this field.",
        ),
    ] = None,
    style: Annotated[
        str | None,
        option(
            "--style",
            metavar="wrap-easy|wrap-medium|wrap-hard|wrap-qa",
            help="Rephrase documents in one of the styles of WRAP (arXiv 2401.16380).",
        ),
    ] = None,
    go_on: Annotated[
        int | None,
        option(
            "--continue",
            metavar="TOKENS",
            min=1,
            help="Go on with the first TOKENS of each document (iterative collapse, arXiv "
            "2305.17493: 64). They are added as beginning.",
        ),
    ] = None,
    self_instruct: Annotated[
        int | None,
        option(
            "--self-instruct",
            metavar="N",
            min=1,
            help="Make N new tasks of the prompts (Self-Instruct, arXiv 2212.10560): 8 examples, at "
            "most 2 of them generated; kept where ROUGE-L with every other is at most 0.7.",
        ),
    ] = None,
    rationale: Annotated[
        bool,
        option(
            "--rationale",
            help="Reason to an answer and keep what reaches the one in --answer-field; a second try "
            "has it as a hint (STaR, arXiv 2203.14465). Adds rationale: direct or hinted.",
        ),
    ] = False,
    extrapolate_errors: Annotated[
        bool,
        option(
            "--extrapolate-errors",
            help="The records are items that a small model got wrong: make a new item like each (S3, "
            "arXiv 2310.13671).",
        ),
    ] = False,
    answer_field: Annotated[
        str,
        option(
            "--answer-field",
            metavar="FIELD",
            help="The right answer, for --rationale and --extrapolate-errors; of a longer solution "
            "what stands behind ####.",
        ),
    ] = "answer",
    wrong_field: Annotated[
        str | None,
        option(
            "--wrong-field",
            metavar="FIELD",
            help="What the small model answered, for --extrapolate-errors.",
        ),
    ] = None,
    response_field: Annotated[
        str | None,
        option(
            "--response-field",
            metavar="FIELD",
            help="Where the answer goes (default response, which a record must not have; a field "
            "that is named here is replaced).",
        ),
    ] = None,
    model_field: Annotated[
        str | None,
        option(
            "--model-field",
            metavar="FIELD",
            help="Where the model's name goes (default model, likewise).",
        ),
    ] = None,
) -> None:
    """Let models answer prompts: one or several, here or on servers.

    Each record is given response and model, and generate_revision, generate_finish_reason (stop or
    length), generate_prompt_tokens, generate_tokens, generate_temperature, generate_top_p,
    generate_max_new_tokens, generate_seed (and generate_top_k, generate_sample). Of several models
    one answers after the other, each in input order. Wordings of the protocols are ours. A prompt
    without an answer (too long, refused) is a bad record: see --on-error.

    With torch the same bytes come whatever the batches, cores and shards are. vLLM and servers are
    given a seed for each answer.

    In a directory (-o DIR/) answers are on disk as soon as they are there; --resume asks only for
    the rest, and what it writes is what an undisturbed run would have written. Servers that are
    busy or gone are waited for; answers that were cut, late or another model's are asked for again.

    \b
    Examples:
      synth generate prompts.jsonl --model builtin --max-new-tokens 64 --seed 1 -o answers.jsonl
      synth generate prompts.jsonl -m A -m B -m C -m D --assign stratified -o mixed/
      synth generate prompts.jsonl -m NAME --server http://a:8000 --server http://b:8000 -o out/
      synth generate human/ --style wrap-qa -m MODEL -o rephrased/ --resume
      synth generate gsm8k.jsonl --rationale --answer-field response --response-field reasoning
      synth generate human.jsonl --continue 64 --max-new-tokens 64 | synth ppl --text-field response

    Memory: the model; about 1,000 prompts a core (torch), 4,096 (vLLM) or 8 for each request
    (servers), with their answers; 8 bytes a record, 18 more with --assign stratified. --resume: 100
    bytes for each answer that no finished shard holds. --self-instruct: all tasks.
    """
    from synthtools.cli.generating import run_generation
    from synthtools.cli.protocols import Generating, text_of
    from synthtools.lm.generation import Sampling

    sampling = Sampling(
        temperature,
        top_p,
        top_k,
        max_new_tokens,
        tuple(stop or ()),
        text_of(f"@{schema}", "--schema") if schema is not None else None,
        regex,
    )
    options = Generating(
        prompt_field,
        context_field,
        template,
        system,
        plain,
        samples,
        assign,
        stratify_by,
        style,
        self_instruct,
        rationale,
        extrapolate_errors,
        go_on,
        answer_field,
        wrong_field,
        response_field,
        model_field,
        seed.seed,
    )
    run_generation(reading, writing, models, jobs, sampling, options)
