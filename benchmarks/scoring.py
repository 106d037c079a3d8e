"""Scoring with the torch backend against the bare forward pass over the same batches.

The ceiling runs the same padded batches, longest first, through the model's body and its output layer
with a log-softmax in float32, and keeps nothing: no windows, no text, no candidates, no results. On a CPU
it has all cores for each product, as a plain script has; ours has a worker a core.
"""

import os

import numpy as np
import torch

from benchmarks.common import in_turns, machine, model_name, texts
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.pretrained import ModelName
from synthtools.lm.scorer import open_model
from synthtools.lm.scores import ScoreRequest
from synthtools.lm.torch_backend import _batches


def main() -> None:
    documents = texts(0.08 if not torch.cuda.is_available() else 20)
    for request in (ScoreRequest(), ScoreRequest(8, 0.99)):
        with open_model(ModelSettings(ModelName(model_name()), backend="torch"), request) as model:
            tokens = model.tokenise(documents)
            count = sum(len(t.ids) for t in tokens)
            replica = model._engine._replicas[0]
            sequences = [s for t in tokens for s in model._sequences(t)]
            batches = _batches(
                [len(s.tokens) for s in sequences], model._engine.context, replica.batch_tokens
            )

            @torch.inference_mode()
            def bare(batches=batches, sequences=sequences, replica=replica) -> None:
                torch.set_num_threads(os.cpu_count() or 1)
                for width, members in batches:
                    ids = np.zeros((len(members), width), np.int64)
                    for row, member in enumerate(members):
                        ids[row, : len(sequences[member].tokens)] = sequences[member].tokens
                    tensor = torch.from_numpy(ids).to(replica._device)
                    hidden = replica._model.base_model(
                        input_ids=tensor, use_cache=False
                    ).last_hidden_state
                    logits = replica._logits(hidden.flatten(0, 1), 1.0, None)
                    torch.logsumexp(logits, 1)
                if replica._on_gpu:
                    torch.cuda.synchronize()
                torch.set_num_threads(1)

            def ours(model=model, documents=documents, request=request) -> None:
                model.score(model.tokenise(documents), request)

            mine, theirs, ratio = in_turns(ours, bare)
            what = f"k={request.candidates}" if request.candidates else "log-probabilities"
            print(
                f"{what}: {count / mine:,.0f} tokens/s, bare forward pass {count / theirs:,.0f}: "
                f"ratio {ratio:.2f}"
            )
    print(f"({model_name()}; {machine()})")


if __name__ == "__main__":
    main()
