"""synth: composable command-line tools for mixtures of human and LLM-generated text.

The folders, from the terminal inwards (imports point one way, downwards):

- ``api``: the tools as Python functions
- ``cli``: the application, the options that tools share, the run of a tool, the terminal
- ``tools``: one file a tool: its options, its checks, its run
- ``reports``: one file a kind of report: its lines for a terminal, its figure
- ``measure``: numbers about data
- ``curate``: records chosen or changed
- ``evaluate``: numbers about models
- ``training``: training and unlearning
- ``lm``: a language model behind one interface, with its backends
- ``text``: words, n-grams, hashing, sketches: the compiled kernels
- ``records``: the only place that opens data
- ``scale``: where shards are worked on
- ``prior``: the weights and tokenizer of the built-in model
- ``warm``: a process that keeps libraries imported between commands

Files that every folder may use:

- ``errors``: the errors that a user sees, and their exit codes
- ``draws``: uniform numbers as a function of (seed, record, generation, position)
- ``compiled``: numba functions whose machine code is kept on disk
- ``environment``: cores, the rank under torchrun, the user's cache directory
- ``closeable``: context managers whose end is ``close``
- ``redaction``: secrets removed from what is printed or written
"""

__version__ = "0.1.0"

FUNCTIONS = (
    "audit",
    "cat",
    "classify",
    "compare",
    "decontaminate",
    "dedup",
    "dsir",
    "edit",
    "embed",
    "eval",
    "ngram_hash",
    "origin",
    "plot",
    "ppl",
    "sample",
    "simulate",
    "stats",
    "diff",
    "mix",
    "table",
    "fit",
    "train",
    "unlearn",
    "generate",
)


def __getattr__(name: str) -> object:
    """A tool as a function, loaded when it is used: ``synthtools.ppl``."""
    if name not in FUNCTIONS:
        raise AttributeError(f"module 'synthtools' has no attribute {name!r}")
    from synthtools.api import function

    made = globals()[name] = function(name)
    return made


def __dir__() -> list[str]:
    return [*globals(), *FUNCTIONS]
