"""A check, once at connect, that a server scores the tokens that it is sent.

A server may have another tokenizer, or a version whose prefix cache or chunked prefill returns numbers of
other tokens. Its replies then look normal, and the error would go unnoticed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import httpx
import numpy as np

from synthtools.errors import SynthError, parameter
from synthtools.lm.server.server_engine import Row, ServerEngine
from synthtools.lm.server.server_http import ask
from synthtools.lm.text_tokenizer import TextTokenizer

# Words, numbers, case, spaces, code and other scripts, on which tokenizers differ.
TEXT = (
    "The quick brown fox jumps over 13 lazy dogs; it's 1,024.50 km to São Paulo.\n\n"
    "def scale(x, *, by=2):\n    return x * by  # twice\nПривет, 世界! naïve CamelCase_words 🙂\n"
)
# Tolerances between two passes in nats, for one token and on average: bfloat16 logits from 16 on are
# multiples of 1/8, and 8-bit weights are coarser [ours].
_NEAR, _NEAR_ON_AVERAGE = 2.0, 0.1


def probe(
    engine: ServerEngine,
    tokenizer: TextTokenizer,
    name: str,
    candidates: int,
    remark: Callable[[str], None],
) -> None:
    """Scores a text, and its first half before and after it (the second time from the prefix cache).

    Args:
        name: the tokenizer's; candidates: number that will be requested.

    Raises:
        SynthError: the server cannot score, or scores other tokens.
    """
    (ids,) = tokenizer.encode([TEXT])
    known = _same_tokens(engine, ids, name)
    ids = ids[: engine.context]
    half = ids[: max(2, len(ids) // 2)]
    k = max(1, candidates)
    before, whole, after = (engine.rows(part, k) for part in (half, ids, half))
    for rows in (whole, after):
        _refuse_other_numbers(engine, half, before, rows)
    _refuse_logits(engine, ids, whole, tokenizer.size)
    if not known and not _decodes_alike(engine, tokenizer, ids, whole, name):
        remark(f"{engine.server.url}: does not say whether its tokens are those of {name}")


def _same_tokens(engine: ServerEngine, ids: np.ndarray, name: str) -> bool:
    """Whether the server can tokenise the text for comparison.

    Raises:
        SynthError: its tokens differ from ours.
    """
    server = engine.server
    body = {"model": server.model, "prompt": TEXT, "add_special_tokens": False}
    try:
        reply = ask(server.client, "POST", "/tokenize", body)
        tokens = reply.json().get("tokens") if reply.code == 200 else None
    except (httpx.HTTPError, AttributeError, ValueError):
        return False
    if not isinstance(tokens, list):
        return False
    if tokens != ids.tolist():
        raise _other_tokenizer(engine, name)
    return True


def _other_tokenizer(engine: ServerEngine, name: str) -> SynthError:
    return SynthError(
        f"{engine.server.url}: has another tokenizer than {name}; name that of the served model with "
        f"{parameter('tokenizer')}"
    )


def _refuse_other_numbers(
    engine: ServerEngine, ids: np.ndarray, one: list[Row], other: list[Row]
) -> None:
    """Raises SynthError if the same tokens have different log-probabilities in another request."""
    differences = [
        abs(one[place][str(token)]["logprob"] - other[place][str(token)]["logprob"])
        for place, token in enumerate(ids.tolist())
        if place
    ]
    average = sum(differences) / len(differences)
    if max(differences) > _NEAR or average > _NEAR_ON_AVERAGE:
        raise SynthError(
            f"{engine.server.url}: gives the same tokens other numbers in another request (by "
            f"{average:.2g} nats on average, {max(differences):.2g} at most); start it with "
            "--no-enable-prefix-caching --no-enable-chunked-prefill, or take a newer vLLM"
        )


def _refuse_logits(engine: ServerEngine, ids: np.ndarray, rows: list[Row], size: int) -> None:
    """Raises SynthError if the most probable token has less than the uniform probability: the server then
    returns something other than log-probabilities."""
    # A model may have more embeddings than its tokenizer has tokens.
    least = -math.log(2 * max(1, size))
    for place in range(1, len(ids)):
        best = max(entry["logprob"] for entry in rows[place].values())
        if best < least:
            raise SynthError(
                f"{engine.server.url}: gives the most probable token {place} of a text "
                f"exp({best:.4g}), which no model of {size:,} tokens does; start it with "
                "--logprobs-mode raw_logprobs"
            )


def _decodes_alike(
    engine: ServerEngine, tokenizer: TextTokenizer, ids: np.ndarray, rows: list[Row], name: str
) -> bool:
    """Whether the server's decoded tokens agree with ours; False if its reply has none.

    Raises:
        SynthError: most of them differ.
    """
    same = []
    for place, token in enumerate(ids.tolist()):
        theirs = rows[place][str(token)].get("decoded_token") if place else None
        ours = tokenizer.surfaces[token].strip()
        # Parts of characters and space markers are decoded in several ways.
        if isinstance(theirs, str) and ours.isalnum():
            same.append(theirs.strip(" ▁Ġ").encode("utf-8", "replace") == ours)
    if same and sum(same) < len(same) / 2:
        raise _other_tokenizer(engine, name)
    return bool(same)
