"""Scoring with the torch backend against the bare forward pass over the same batches.

The ceiling runs the same padded batches, longest first, through the model's body and its own output layer,
with a log-softmax in float32, and keeps nothing: no windows, no text, no candidates, no results. Its output
layer has the model's type, ours float32. On a CPU it has all cores for each product, as a plain script has;
ours has a worker a core.

    SYNTH_BENCHMARK_MODEL=smollm2 BENCH_DTYPES=float32,bfloat16 BENCH_MEGABYTES=0.016 python -m benchmarks scoring
"""

import os
from typing import Any

import numpy as np
import torch

from benchmarks.common import in_turns, machine, model_name, texts
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_model
from synthtools.lm.scores import ScoreRequest, Sequence
from synthtools.lm.torch.torch_engine import TorchEngine, _batches
from synthtools.lm.torch.torch_replica import ScorerReplica

DTYPES = os.environ.get("BENCH_DTYPES", "auto").split(",")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 3))
REQUESTS = (ScoreRequest(), ScoreRequest(8, 0.99))


def bare(engine: TorchEngine, sequences: list[Sequence]) -> None:
    """The model over the engine's own batches, and nothing else."""
    replica: ScorerReplica = engine.replica
    model: Any = replica._model
    head = model.get_output_embeddings()
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    lengths = [len(s.tokens) for s in sequences]
    with torch.inference_mode():
        for width, members in _batches(lengths, engine.context, replica.batch_tokens):
            ids = np.zeros((len(members), width), np.int64)
            for row, member in enumerate(members):
                ids[row, : lengths[member]] = sequences[member].tokens
            tensor = torch.from_numpy(ids).to(replica._device)
            hidden = model.base_model(input_ids=tensor, use_cache=False).last_hidden_state
            for states in hidden.flatten(0, 1).split(replica._rows):
                torch.logsumexp(head(states).float(), 1)
        if replica._on_gpu:
            torch.cuda.synchronize()
    torch.set_num_threads(threads)


def main() -> None:
    megabytes = float(os.environ.get("BENCH_MEGABYTES", 20 if torch.cuda.is_available() else 0.08))
    documents = texts(megabytes)
    name = ModelName(model_name())
    for dtype in DTYPES:
        for request in REQUESTS:
            settings = ModelSettings(name, backend="torch", dtype=dtype)
            with open_model(settings, request) as model:
                tokens = model.tokenise(documents)
                count = sum(len(t.ids) for t in tokens)
                sequences = [s for t in tokens for s in model._sequences(t)]

                def ours(model: Any = model, request: ScoreRequest = request) -> None:
                    model.score(model.tokenise(documents), request)

                def theirs(model: Any = model, sequences: list[Sequence] = sequences) -> None:
                    bare(model._engine, sequences)

                mine, other, ratio = in_turns(ours, theirs, ROUNDS)
            what = f"k={request.candidates}" if request.candidates else "log-probabilities"
            print(
                f"{dtype}, {what}: {count / mine:,.0f} tokens/s, bare forward pass "
                f"{count / other:,.0f}: ratio {ratio:.2f}",
                flush=True,
            )
    print(f"({model_name()}; {machine()})")


if __name__ == "__main__":
    main()
