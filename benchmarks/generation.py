"""Generation with the torch backend against the plain loop over transformers' ``generate``.

Both answer the same prompts with as many tokens each, drawn with temperature 0.7 and top-p 0.9. The loop
takes batches of so many prompts as they come, padded to their longest, with all cores for each product. Beside both, by CPU time
where there is no GPU: as many beginnings of the same documents of one length, the mean of theirs in tokens.
"""

import itertools
import os
import time

import torch

from benchmarks.common import in_turns, machine, model_name, texts
from synthtools.lm.generation import Prompt, SamplingSettings
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_generator

TOKENS = 64
ROWS = 64


def prompts(count: int) -> list[Prompt]:
    """Beginnings of documents, of 20 to 300 characters."""
    found = [text[: 20 + 37 * place % 280] for place, text in enumerate(texts(1.0))]
    return [Prompt(b"%d" % place, text) for place, text in enumerate(found[:count])]


def of_one_length(generator, asked: list[Prompt]) -> list[Prompt]:
    """As many beginnings of documents, with the mean number of tokens."""

    def length(prompt: Prompt) -> int:
        return len(generator._prompting.ready(prompt).ids)

    mean = sum(map(length, asked)) // len(asked)
    found = []
    for text in texts(1.5):
        cuts = (Prompt(b"%d" % len(found), text[:size]) for size in range(mean, 8 * mean))
        found += itertools.islice((cut for cut in cuts if length(cut) == mean), 1)
        if len(found) == len(asked):
            break
    return found


def beside_equal_lengths(generator, asked: list[Prompt]) -> tuple[float, float, float]:
    """Tokens of answers per second, those of as many prompts of one length, and the ratio."""
    same = of_one_length(generator, asked)
    made = {}

    def work(prompts: list[Prompt]) -> None:
        made[id(prompts)] = sum(answer.tokens for answer in generator.generate(prompts))

    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    mine, other, ratio = in_turns(lambda: work(asked), lambda: work(same), 5, clock)
    many, one = made[id(asked)], made[id(same)]
    return many / mine, one / other, ratio * many / one


def main() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    asked = prompts(256 if not torch.cuda.is_available() else 4096)
    location = ModelName(model_name()).location
    tokenizer = AutoTokenizer.from_pretrained(location, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    sampling = SamplingSettings(max_new_tokens=TOKENS)
    with open_generator(
        ModelSettings(ModelName(model_name()), backend="torch"), sampling, 0
    ) as generator:
        device = generator._engine.replica._device
        dtype = generator._engine.replica._model.dtype
        theirs = AutoModelForCausalLM.from_pretrained(location, dtype=dtype).to(device).eval()
        counts = {}

        def ours() -> None:
            counts["ours"] = sum(answer.tokens for answer in generator.generate(asked))

        def loop() -> None:
            torch.set_num_threads(os.cpu_count() or 1)
            made = 0
            for start in range(0, len(asked), ROWS):
                batch = [prompt.text for prompt in asked[start : start + ROWS]]
                ids = tokenizer(batch, return_tensors="pt", padding=True).to(device)
                ids.pop("token_type_ids", None)
                found = theirs.generate(
                    **ids, max_new_tokens=TOKENS, do_sample=True, temperature=0.7, top_p=0.9
                )[:, ids.input_ids.shape[1] :]
                ended = (found == tokenizer.eos_token_id).int().cumsum(1) > 0
                made += int((~ended).sum()) + int(ended.any(1).sum())
            counts["loop"] = made
            torch.set_num_threads(1)

        mine, other, _ = in_turns(ours, loop)
        many, one, equal = beside_equal_lengths(generator, asked)
    rates = counts["ours"] / mine, counts["loop"] / other
    print(
        f"{rates[0]:,.0f} tokens/s, transformers' generate {rates[1]:,.0f}: "
        f"ratio {rates[0] / rates[1]:.2f}"
    )
    print(f"{many:,.0f} tokens/s, with prompts of one length {one:,.0f}: ratio {equal:.2f}")
    print(f"({model_name()}; {machine()})")


if __name__ == "__main__":
    main()
