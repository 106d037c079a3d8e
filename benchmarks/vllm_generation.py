"""Our vLLM backend against the bare ``LLM.generate`` of the same prompts on the same engine.

The peer gets token ids and the same parameters, seeds included; it keeps what vLLM returns.
"""

import os

from benchmarks.common import in_turns, machine, model_name
from benchmarks.generation import TOKENS, prompts
from synthtools.lm.generation import SamplingSettings
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_generator
from synthtools.lm.prompt_tokenizer import TokenisedPrompt


def main() -> None:
    import torch
    from vllm import TokensPrompt

    asked = prompts(
        int(os.environ.get("BENCH_PROMPTS", 8192 if torch.cuda.is_available() else 192))
    )
    sampling = SamplingSettings(max_new_tokens=TOKENS)
    settings = ModelSettings(ModelName(model_name()), backend="vllm")
    with open_generator(settings, sampling, 0) as generator:
        ready = [generator._prompting.ready(prompt) for prompt in asked]
        tokens = [TokensPrompt(prompt_token_ids=r.ids.tolist()) for r in ready]
        parameters = [
            generator._parameters(r, prompt.seed(0))
            for r, prompt in zip(ready, asked, strict=True)
            if isinstance(r, TokenisedPrompt)
        ]
        counts = {}

        def ours() -> None:
            counts["ours"] = sum(answer.tokens for answer in generator.generate(asked))

        def bare() -> None:
            found = generator._llm.generate(tokens, parameters, use_tqdm=False)
            counts["bare"] = sum(len(output.outputs[0].token_ids) for output in found)

        mine, theirs, _ = in_turns(ours, bare)
    rates = counts["ours"] / mine, counts["bare"] / theirs
    print(
        f"{rates[0]:,.0f} tokens/s, bare generate {rates[1]:,.0f}: ratio {rates[0] / rates[1]:.2f}"
    )
    print(f"({model_name()}; {machine()})")


if __name__ == "__main__":
    main()
