"""Runs the benchmarks that are named, or all that this environment can run."""

import importlib
import sys
from importlib.util import find_spec

NAMES = (
    *(
        "scoring",
        "gpu",
        "memory",
        "data",
        "dedup",
        "mix",
        "diversity",
        "training",
        "unlearning",
        "generation",
    ),
    *("harness", "origin", "resampling", "compare", "laws", "optimizers"),
    *("scaling", "pipes", "ray_models", "sharded_memory"),
    *("vllm_scoring", "vllm_edit", "vllm_generation", "vllm_server"),
)
NEEDS_VLLM = ("vllm_scoring", "vllm_edit", "vllm_generation", "vllm_server")

for name in sys.argv[1:] or NAMES:
    if name in NEEDS_VLLM and find_spec("vllm") is None:
        print(f"{name}: needs vLLM; left out")
        continue
    print(f"== {name}", flush=True)
    importlib.import_module(f"benchmarks.{name}").main()
