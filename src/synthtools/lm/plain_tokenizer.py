"""A tokenizer's files, read without transformers.

Read here are files from which transformers makes no more than the tokenizer in tokenizer.json, and whose special
tokens are all in it. All others, faulty ones among them, are left to transformers.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from synthtools.lm.model_files import read_object
from synthtools.lm.model_name import ModelName
from synthtools.lm.tokenizer_faults import refuse_growth

_ROLES = tuple(f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
# Other keys of tokenizer_config.json that do not change tokens, with the types that transformers accepts.
_UNUSED: dict[str, tuple[type, ...]] = {
    "backend": (str,),
    "chat_template": (str,),
    "clean_up_tokenization_spaces": (bool,),
    "is_local": (bool,),
    "local_files_only": (bool,),
    "model_max_length": (int, float),
    "tokenizer_class": (str,),
}
# Older files, in which transformers finds further special tokens.
_OLDER = ("added_tokens.json", "special_tokens_map.json")
# transformers mends larger vocabularies of some families.
_LARGEST = 100_000


class PlainTokenizer(NamedTuple):
    """What ``TextTokenizer`` reads of a tokenizer, under the names of transformers."""

    name_or_path: str
    backend_tokenizer: Any
    bos_token_id: int | None
    eos_token_id: int | None
    all_special_ids: list[int]


def own_configuration(location: str) -> dict[str, Any] | None:
    """The tokenizer_config.json of a directory whose tokenizer is tokenizer.json alone, else None."""
    if not os.path.isfile(os.path.join(location, "tokenizer.json")):
        return None
    config = read_object(os.path.join(location, "tokenizer_config.json")) or {}
    plain = config.get("tokenizer_class") in ("PreTrainedTokenizerFast", "TokenizersBackend")
    return config if plain and "auto_map" not in config else None


def plain_tokenizer(name: str, revision: str | None = None) -> PlainTokenizer | None:
    """The tokenizer of a model in a directory; None if it is not as simple as this module reads it.

    Raises:
        SynthError: it may make a text grow without bound.
    """
    location = ModelName(name, revision).location
    config = own_configuration(location)
    if config is None or any(os.path.exists(os.path.join(location, one)) for one in _OLDER):
        return None
    roles = {role: config.pop(role, None) for role in _ROLES}
    if not all(type(value) in _UNUSED.get(key, ()) for key, value in config.items()):
        return None
    from tokenizers import Tokenizer

    try:
        backend = Tokenizer.from_file(os.path.join(location, "tokenizer.json"))
    except Exception:  # damaged files raise many types
        return None
    if backend.truncation or backend.padding or backend.post_processor is None:
        return None
    added = backend.get_added_tokens_decoder().items()
    special = {token.content: identifier for identifier, token in added if token.special}
    named = [token for token in roles.values() if token is not None]
    if backend.get_vocab_size() > _LARGEST or not all(
        isinstance(token, str) and token in special for token in named
    ):
        return None
    refuse_growth(name, backend)
    first, end = (
        None if roles[role] is None else special[roles[role]] for role in ("bos_token", "eos_token")
    )
    return PlainTokenizer(location, backend, first, end, [special[token] for token in named])
