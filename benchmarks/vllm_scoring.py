"""Our vLLM backend against the bare ``LLM.generate(prompt_logprobs=k)`` on the same engine.

The peer gets the same token ids and the same engine, detokenises nothing and returns flat arrays too;
it keeps what vLLM returns and looks at nothing.
"""

from benchmarks.common import in_turns, machine, model_name, texts
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_model
from synthtools.lm.scores import ScoreRequest


def main() -> None:
    import torch
    from vllm import SamplingParams, TokensPrompt

    documents = texts(20 if torch.cuda.is_available() else 0.06)
    request = ScoreRequest(8, 0.99)
    with open_model(ModelSettings(ModelName(model_name()), backend="vllm"), request) as model:
        tokens = model.tokenise(documents)
        count = sum(len(t.ids) for t in tokens)
        prompts = [
            TokensPrompt(prompt_token_ids=s.tokens.tolist())
            for t in tokens
            for s in model._sequences(t)
        ]
        params = SamplingParams(
            max_tokens=1, temperature=0, prompt_logprobs=8, flat_logprobs=True, detokenize=False
        )

        def ours() -> None:
            model.score(model.tokenise(documents), request)

        def bare() -> None:
            model._engine._llm.generate(prompts, params, use_tqdm=False)

        mine, theirs, ratio = in_turns(ours, bare)
    print(
        f"k=8: {count / mine:,.0f} tokens/s, bare generate {count / theirs:,.0f}: ratio {ratio:.2f}"
    )
    print(f"({model_name()}; {machine()})")


if __name__ == "__main__":
    main()
