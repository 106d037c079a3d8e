"""Sources → rows: tokenizer, tokens, packing, shares and weights."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.lm.chat import TEMPLATE
from synthtools.lm.pretrained import load_tokenizer
from synthtools.training.conversations import (
    PlainDocument,
    answer_encoder,
    conversation_encoder,
    pair_encoder,
)
from synthtools.training.corpus import Corpus, Encode, cached, load, text_encoder
from synthtools.training.packers import Blend, CutPacker, Packer, WholePacker
from synthtools.training.plan import WORK, Plan, RunContext, Source
from synthtools.training.run_directory import saving
from synthtools.training.token_windows import TokenWindows
from synthtools.training.tokenizer import train_tokenizer

_FORMAT = 2  # of the token files


def blend_of(
    sources: Sequence[Source], corpora: Sequence[Corpus], plan: Plan
) -> tuple[Blend, list[float]]:
    """The rows of all sources, and each source's share of an epoch."""
    packers: list[Packer] = []
    for source, corpus in zip(sources, corpora, strict=True):
        try:
            packers.append(packer_of(corpus, plan))
        except ValueError as error:
            raise SynthError(f"{source.name}: {_no_rows(corpus, plan.context, error)}") from error
    given = [source.share for source in sources if source.share is not None]
    blend = Blend(packers, given or None)
    rows = [packer.rows_in(0) for packer in packers]
    return blend, given or [count / sum(rows) for count in rows]


def rows_of(plan: Plan, blend: Blend) -> int:
    """Rows of a run, from its tokens, otherwise from its epochs."""
    return max(1, plan.tokens // plan.context) if plan.tokens else blend.rows_of(plan.epochs)


def loss_weights(sources: Sequence[Source], shares: Sequence[float]) -> list[float | None]:
    """Weight of each source's mean loss; for the golden one w* = (√(k² + 4k) − k) / 2, with k the ratio of
    its rows to the others' (arXiv 2502.18049)."""
    weights = [source.weight for source in sources]
    for number, (source, share) in enumerate(zip(sources, shares, strict=True)):
        if source.golden:
            k = share / (1 - share)
            weights[number] = (math.sqrt(k * k + 4 * k) - k) / 2
    return weights


def _no_rows(corpus: Corpus, context: int, error: ValueError) -> str:
    """Why a corpus has no rows, with a remedy."""
    left_out = corpus.facts["left_out"]
    if not left_out:
        return f"{error}; give some text"
    return (
        f"no answer of its {left_out:,} documents begins within {context} tokens; give a larger "
        f"{parameter('context')}"
    )


def packer_of(corpus: Corpus, plan: Plan) -> Packer:
    """The rows of a corpus.

    Raises:
        ValueError: it has no documents.
    """
    if plan.pack and not plan.sft:
        return CutPacker(corpus.tokens, corpus.starts, plan.context, plan.seed)
    return WholePacker(
        corpus.tokens, corpus.starts, plan.context, plan.seed, corpus.learned, pack=plan.pack
    )


def validation_set(corpus: Corpus, context: int, name: str) -> tuple[Blend, int]:
    """A validation set: every token once, long documents in pieces of the context."""
    try:
        packer = WholePacker(corpus.tokens, corpus.starts, context, 0, corpus.learned)
    except ValueError as error:
        raise SynthError(
            f"{parameter('valid', name)}: {_no_rows(corpus, context, error)}"
        ) from error
    return Blend([packer]), packer.rows_in(0)


class Encoding(NamedTuple):
    """How documents become tokens; ``facts``: everything but the data that the tokens depend on, as JSON."""

    encode: Encode
    facts: dict[str, Any]


def encoding_of(tokenizer: Any, plan: Plan, remark: Callable[[str], None]) -> Encoding:
    """The encoding of a plan's documents."""
    if plan.sft:
        return conversations(tokenizer, plan.context, plan.learn_all, remark)
    return texts(tokenizer)


def texts(tokenizer: Any) -> Encoding:
    """The encoding of texts."""
    return Encoding(text_encoder(tokenizer), {**_key_parts(tokenizer), "sft": None})


def conversations(
    tokenizer: Any, context: int, learn_all: bool, remark: Callable[[str], None]
) -> Encoding:
    """The encoding of conversations by the chat template."""
    if tokenizer.chat_template is None:
        remark(
            "the tokenizer has no chat template: using a plain one, which is saved with the model"
        )
        tokenizer.chat_template = TEMPLATE
    facts = {**_key_parts(tokenizer), "sft": [context, learn_all, tokenizer.chat_template]}
    return Encoding(conversation_encoder(tokenizer, context, learn_all), facts)


def answered(tokenizer: Any, answers_only: bool) -> Encoding:
    """The encoding of texts, or prompts with answers, as plain text."""
    facts = {**_key_parts(tokenizer), "sft": None, "answers": answers_only}
    return Encoding(answer_encoder(tokenizer, answers_only), facts)


def pairs(tokenizer: Any, length: int, form: Encoding) -> Encoding:
    """The encoding of answer pairs in rows of ``length`` tokens.

    Args:
        form: encoding of a prompt with one answer, of which only the answer is learned: ``answered`` or
            ``conversations``.
    """
    plain = form.facts["sft"] is None

    def document(prompt: str, response: str) -> Any:
        if plain:
            return PlainDocument(prompt, response)
        return [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]

    facts = {**form.facts, "pairs": length}
    return Encoding(pair_encoder(form.encode, document, length), facts)


def _key_parts(tokenizer: Any) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "tokenizer": tokenizer.backend_tokenizer.to_str(),
        "end": tokenizer.eos_token_id,
    }


def tokens_of(
    sources: Sequence[Source], encoding: Encoding, vocabulary: int, context: RunContext
) -> list[Corpus]:
    """The tokens of all sources; the first rank makes them."""
    ranks, callbacks = context.ranks, context.callbacks
    made = []
    for source in sources:
        here = _folder(source, encoding.facts, context)
        if ranks.first:
            known = here.exists()
            moved = partial(callbacks.on_phase, f"{source.name}: making tokens")
            corpus = cached(here, source, encoding.encode, vocabulary, callbacks.remark, moved)
            callbacks.remark(_summary(source.name, corpus, known))
        made.append(here)
    ranks.wait()
    return [load(here) for here in made]


def windows_of(
    sources: Sequence[Source], encoding: Encoding, vocabulary: int, plan: Plan, context: RunContext
) -> list[TokenWindows]:
    """The rows of all sources, tokenised by the first rank as they are needed."""
    digests = [source.digest for source in sources]
    return [
        TokenWindows(
            # A source that is given twice is read twice, independently.
            _folder(
                source,
                {**encoding.facts, "windows": digests[:number].count(source.digest)},
                context,
            ),
            source,
            encoding.encode,
            vocabulary,
            plan.context,
            plan.seed,
            context.ranks.first,
            context.callbacks.remark,
        )
        for number, source in enumerate(sources)
    ]


def _folder(source: Source, facts: dict[str, Any], context: RunContext) -> Path:
    """The folder of a source's tokens."""
    key = json.dumps({**facts, "data": source.digest}, sort_keys=True)
    return context.tokens / hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def _summary(name: str, corpus: Corpus, known: bool) -> str:
    facts = corpus.facts
    line = f"{name}: {facts['documents']:,} documents, {facts['tokens']:,} tokens"
    if facts["learned"] < facts["tokens"]:
        line += f", {facts['learned']:,} to be learned"
    if facts["cut_tokens"]:
        line += f"; {facts['cut_tokens']:,} tokens of {facts['cut_documents']:,} documents cut"
    if facts["left_out"]:
        line += f"; {facts['left_out']:,} documents left out: nothing to learn"
    return line + (" (tokens from an earlier run)" if known else "")


def tokenizer_of(sources: Sequence[Source], plan: Plan, context: RunContext) -> Any:
    """The tokenizer of a run; a trained one is stored in the working folder.

    Raises:
        UsageError: none is given, or the vocabulary is too small.
    """
    if plan.vocabulary is None:
        if plan.tokenizer is not None:
            return load_tokenizer(plan.tokenizer, None)
        if plan.start.model is None:
            raise UsageError(
                f"name a tokenizer with {parameter('tokenizer')}, or train one: {parameter('train_tokenizer')}"
            )
        return load_tokenizer(plan.start.model, plan.start.revision)
    kept = context.output / WORK / "tokenizer"
    if context.ranks.first and not kept.is_dir():
        context.callbacks.remark(f"training a tokenizer of {plan.vocabulary:,} tokens")
        flat = (
            text
            for source in sources
            for some in source.batches(source.rejects())
            for text in some.documents
        )
        try:
            tokenizer = train_tokenizer(flat, plan.vocabulary, plan.context)
        except ValueError as error:
            raise UsageError(f"{parameter('train_tokenizer')}: {error}") from error
        partial = kept.with_name(".tokenizer.partial")
        with saving(kept, "the tokenizer"):
            shutil.rmtree(partial, ignore_errors=True)
            tokenizer.save_pretrained(partial)
            os.replace(partial, kept)
    context.ranks.wait()
    return load_tokenizer(str(kept), None)
