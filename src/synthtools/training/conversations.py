"""Conversations → tokens, and a mask of the tokens to learn: the answers.

A record holds ``messages`` (a list of {"role", "content"}), or a prompt and a response, which form a
conversation of two messages. The tokenizer's chat template renders it. Tokens to learn are those that the
template marks with ``{% generation %}``, otherwise what an assistant's message adds after the template's prompt
for an answer, the end-of-turn token included [ours]. Text in messages that spells a special token stays text
(see ``lm.chat``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from synthtools.errors import SynthError, parameter
from synthtools.lm.chat import ChatTokenizer
from synthtools.training.corpus import Encode, RefusedDocument, TokenizedDocument, tokenized
from synthtools.training.packers import SECOND

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class PlainDocument(NamedTuple):
    """A text (without a prompt), or a prompt and its answer as plain text, separated by an empty line."""

    prompt: str | None
    text: str


def answer_encoder(tokenizer: PreTrainedTokenizerFast, answers_only: bool) -> Encode:
    """Texts and answers → tokens (see ``corpus.tokenized``); None for a document without tokens to learn.

    Args:
        answers_only: learn only the answer of a prompt with an answer.
    """

    def encode(documents: list[PlainDocument]) -> list[TokenizedDocument | RefusedDocument | None]:
        heads = ["" if d.prompt is None else d.prompt + "\n\n" for d in documents]

        def document(number: int, encoding: Any, end: list[int]) -> TokenizedDocument | None:
            ids = np.array([*encoding.ids, *end], np.int64)
            learned = None
            if answers_only:
                offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2)
                answer = offsets[:, 1] > len(heads[number])
                learned = np.append(answer, np.ones(len(end), bool))
                if tokenizer.eos_token_id is not None:
                    learned[-1] = True  # the end of an answer, even if the text contains it
            # The first token has nothing to be predicted from.
            empty = len(ids) < 2 or (learned is not None and not learned[1:].any())
            return None if empty else TokenizedDocument(ids, learned)

        texts = [head + d.text for head, d in zip(heads, documents, strict=True)]
        return tokenized(tokenizer, texts, document, offsets=True)

    return encode


class AnswerPair(NamedTuple):
    """A prompt, its answer to forget, and a preferred answer."""

    prompt: str
    response: str
    preferred: str


def pair_encoder(
    encode: Encode, document: Callable[[str, str], Any], length: int
) -> Callable[[list[AnswerPair]], list[TokenizedDocument | RefusedDocument | None]]:
    """Pairs → both texts, each of at most half a row, as one document; only answers are learned.

    Args:
        encode: encodes one text and marks its answer.
        document: (prompt, answer) → the input of ``encode``.
        length: tokens of a row.
    """

    def paired(pairs: list[AnswerPair]) -> list[TokenizedDocument | RefusedDocument | None]:
        worse = encode([document(pair.prompt, pair.response) for pair in pairs])
        better = encode([document(pair.prompt, pair.preferred) for pair in pairs])
        return [_joined(*both, length // 2) for both in zip(worse, better, strict=True)]

    return paired


def _joined(
    first: TokenizedDocument | RefusedDocument | None,
    second: TokenizedDocument | RefusedDocument | None,
    most: int,
) -> TokenizedDocument | RefusedDocument | None:
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    cut = 0
    for one in (first, second):
        if not isinstance(one, TokenizedDocument):
            return one
        assert one.learned is not None
        if not one.learned[1:most].any():
            return RefusedDocument(
                f"an answer begins after the {most} tokens that a row has for each of a pair; give longer "
                f"rows ({parameter('forget_context')})"
            )
        learned = one.learned[:most].astype(np.uint8)
        learned[0] = SECOND if parts else 0
        parts.append((one.ids[:most], learned))
        cut += one.cut + len(one.ids) - len(parts[-1][0])
    ids, learned_of = zip(*parts, strict=True)
    return TokenizedDocument(np.concatenate(ids), np.concatenate(learned_of), cut)


def why_no_conversation(messages: Any) -> str | None:
    """What is wrong with the messages of a record, None if nothing."""
    if not isinstance(messages, list) or not messages:
        return "messages is not a list of {role, content}"
    for message in messages:
        if not isinstance(message, dict) or not all(
            isinstance(message.get(key), str) for key in ("role", "content")
        ):
            return "messages is not a list of {role, content} with text in both"
    if not any(m["role"] == "assistant" and m["content"].strip() for m in messages):
        return "no message of an assistant holds text: there is nothing to learn"
    return None


def conversation_encoder(
    tokenizer: PreTrainedTokenizerFast, length: int, learn_all: bool
) -> Encode:
    """Conversations → at most ``length`` tokens each.

    A conversation is refused if the chat template rejects it or does not separate answers from prompts, or
    if no token to learn is left after truncation.

    Args:
        learn_all: learn prompts too.
    """
    chat = ChatTokenizer(tokenizer)
    otherwise = f", or use {parameter('learn_all')}"

    def encode(messages: list[dict[str, str]]) -> TokenizedDocument | RefusedDocument:
        try:
            text = chat.written(messages)
            spans = [] if learn_all else chat.answers(messages, text, otherwise)
            ids, offsets = chat.tokens(text)
        except SynthError as error:
            return RefusedDocument(str(error))
        learned = np.full(len(ids), learn_all)
        for start, end in spans:
            learned |= (offsets[:, 1] > start) & (offsets[:, 0] < end)
        # The first token has nothing to be predicted from.
        if not learned[1:length].any():
            before = int(np.flatnonzero(learned)[0]) if learned.any() else len(ids)
            return RefusedDocument(
                f"nothing to learn: the answers begin after {before} tokens, a row holds {length}; "
                f"give longer rows ({parameter('context')}, {parameter('forget_context')})"
            )
        return TokenizedDocument(ids[:length], learned[:length], max(0, len(ids) - length))

    return lambda conversations: [encode(messages) for messages in conversations]
