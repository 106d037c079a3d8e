"""Training of a byte-level BPE tokenizer, which encodes every text losslessly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(
    texts: Iterable[str], size: int, context: int | None = None
) -> PreTrainedTokenizerFast:
    """Trains a tokenizer.

    Each digit is a token, so that numbers are encoded uniformly. One special token marks begin and end of
    text; the tokenizer adds it before every text.

    Args:
        texts: the training data.
        size: of the vocabulary, with the special token and the 256 bytes.
        context: the model's context length, stored with the tokenizer.

    Raises:
        ValueError: ``size`` is smaller than the bytes and the special token.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if size < 257:
        raise ValueError(
            f"a vocabulary of {size} does not hold the 256 bytes and one special token"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A",
        special_tokens=[(END_OF_TEXT, tokenizer.token_to_id(END_OF_TEXT))],
    )
    more = {} if context is None else {"model_max_length": context}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
        **more,
    )
