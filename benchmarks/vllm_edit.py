"""``edit`` through vLLM against the plain form of the method on the same engine.

The plain form is how the method is usually written: ``LLM.generate`` with ``prompt_logprobs=8``, a Python
dictionary of Logprob objects for every token, a draw in Python for each token above the threshold, and a
decode of the whole document. (It truncates long documents in the original; here it gets the same windows.)
"""

import math
import random

from benchmarks.common import in_turns, machine, model_name, texts
from synthtools.curate.token_edit import Rules, edit
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_model
from synthtools.lm.pretrained import load_tokenizer


def main() -> None:
    import torch
    from vllm import SamplingParams, TokensPrompt

    documents = texts(20 if torch.cuda.is_available() else 0.06)
    rules = Rules(threshold=0.9)
    with open_model(
        ModelSettings(ModelName(model_name()), backend="vllm"), rules.request()
    ) as model:
        tokens = model.tokenise(documents)
        count = sum(len(t.ids) for t in tokens)
        sequences = [s for t in tokens for s in model._sequences(t)]
        tokenizer = load_tokenizer(model_name())
        params = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=8)

        def ours() -> None:
            scores = model.score(model.tokenise(documents), rules.request())
            for number, (text, score) in enumerate(zip(documents, scores, strict=True)):
                edit(text, score, rules, model.tokenizer, seed=0, record=number)

        def plain() -> None:
            prompts = [TokensPrompt(prompt_token_ids=s.tokens.tolist()) for s in sequences]
            for output in model._engine._llm.generate(prompts, params, use_tqdm=False):
                edited = list(output.prompt_token_ids)
                for place, row in enumerate(output.prompt_logprobs):
                    if row is None or row[edited[place]].logprob < math.log(0.9):
                        continue
                    best = sorted(row.items(), key=lambda item: item[1].rank)[:8]
                    weights = [math.exp(entry.logprob / 1.5) for _, entry in best]
                    edited[place] = random.choices([t for t, _ in best], weights)[0]
                tokenizer.decode(edited, skip_special_tokens=True)

        mine, theirs, ratio = in_turns(ours, plain)
    print(
        f"edit: {count / mine:,.0f} tokens/s, plain form {count / theirs:,.0f}: ratio {ratio:.2f}"
    )
    print(f"({model_name()}; {machine()})")


if __name__ == "__main__":
    main()
