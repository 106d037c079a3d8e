"""What tests share: English text that is on every machine, and models small enough for any.

The models are random, of the three architectures that the toolkit names, with a wide spread of
weights: their probabilities then run from near 0 to near 1, as those of a trained model do.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from synthtools.environment import user_cache
from synthtools.warm.client import inherited_state

if TYPE_CHECKING:
    from synthtools.lm.scorer import LanguageModel
    from synthtools.records.batch import Batch


def pytest_make_parametrize_id(val: object) -> str | None:
    """A name for each parameter that is the same in every process: compressed bytes hold the time."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) else None


# No test may reach for the network. Set before transformers is imported anywhere.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
# Tests run side by side: threads that wait for each other by spinning would take the other's core.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# lm_eval sets it when it is imported. The warm process takes no start from another environment than its own:
# everything that ran later in that worker would start cold, in seconds instead of tenths.
os.environ.setdefault("HF_XET_HIGH_PERFORMANCE", "1")


def _cache_of_tests() -> tempfile.TemporaryDirectory[str] | None:
    """A cache directory for all that the tests start: no token count of theirs remains in the user's.

    What others keep in the user's is linked (fonts), and so are converted weights, which take long to make.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:  # the process that started it has made one
        return None
    user = user_cache("models").parent
    (user / "models").mkdir(parents=True, exist_ok=True)
    folder = tempfile.TemporaryDirectory(prefix="synth-tests-")
    own = Path(folder.name, user.name)
    own.mkdir()
    (own / "models").symlink_to(user / "models")
    for path in user.parent.iterdir():
        if path != user:
            (own.parent / path.name).symlink_to(path)
    os.environ["XDG_CACHE_HOME"] = folder.name
    return folder


_CACHE = _cache_of_tests()

# A busy machine is no failure.
# The same examples at every run: a failure belongs to the change that brought it.
settings.register_profile("synth", deadline=None, derandomize=True)
settings.load_profile("synth")

CONTEXT = 128
VOCABULARY = 600

_SIZES: dict[str, dict[str, Any]] = {
    "llama": {
        "hidden_size": 64,
        "intermediate_size": 176,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.35,
    },
    "gpt2": {
        "n_embd": 64,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": CONTEXT,
        "initializer_range": 0.35,
    },
    "gpt_neox": {
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.35,
    },
}
ARCHITECTURES = tuple(_SIZES)
BUILTIN_WEIGHTS = (
    Path(__file__).resolve().parent.parent / "src" / "synthtools" / "prior" / "model.safetensors"
)


@pytest.fixture(autouse=True, scope="module")
def unchanged_environment() -> Iterable[None]:
    """Fails where a file's tests leave variables behind that make later starts cold."""
    before = inherited_state()
    yield
    assert inherited_state() == before


@pytest.fixture(scope="session")
def documents() -> list[str]:
    """Some hundred English documents of 100 bytes to 30 kB: Python's own help."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


@pytest.fixture(scope="session")
def paragraphs(documents: list[str]) -> list[str]:
    """Short English texts, of 30 to 300 bytes."""
    found = [p.strip() for text in documents for p in text.split("\n\n")]
    return [p for p in found if 30 <= len(p) <= 300]


@pytest.fixture(scope="session")
def tokenizer(documents: list[str]) -> Any:
    """A byte-level tokenizer of 600 tokens, as transformers sees it."""
    from synthtools.training.tokenizer import train_tokenizer

    return train_tokenizer(documents, VOCABULARY, CONTEXT)


def save_model(folder: Path, tokenizer: Any, kind: str, seed: int = 0, **sizes: Any) -> Path:
    """A random model and its tokenizer as a directory of safetensors."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 0, **sizes}
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Callable[..., Path]:
    """Makes a random model: ``make_model("gemma2", hidden_size=64, …)`` → its directory."""

    def make(kind: str, **sizes: Any) -> Path:
        return save_model(tmp_path_factory.mktemp(kind), tokenizer, kind, **sizes)

    return make


@pytest.fixture(scope="session")
def tiny_models(make_model: Callable[..., Path]) -> dict[str, Path]:
    """Model directories by architecture: llama, gpt2, gpt_neox."""
    return {kind: make_model(kind, **sizes) for kind, sizes in _SIZES.items()}


@pytest.fixture(scope="session")
def llama(tiny_models: dict[str, Path]) -> Path:
    """The directory of a tiny random Llama."""
    return tiny_models["llama"]


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest, tiny_models: dict[str, Path]) -> Path:
    """Each of the tiny models in turn."""
    return tiny_models[request.param]


@pytest.fixture(scope="session")
def open_on_cpu() -> Callable[..., LanguageModel]:
    """Opens a model on the CPU with torch: ``open_on_cpu(name, context=64, …)``; the settings are
    those of ``ModelSettings``."""
    from synthtools.lm.model_name import ModelName
    from synthtools.lm.model_settings import ModelSettings
    from synthtools.lm.open_models import open_model
    from synthtools.lm.scores import ScoreRequest

    def opened(name: Path | str, **settings: Any) -> LanguageModel:
        model = ModelName(str(name), tokenizer=settings.pop("tokenizer", None))
        settings = {"backend": "torch", "devices": "cpu", **settings}
        return open_model(ModelSettings(model, **settings), ScoreRequest())

    return opened


@pytest.fixture(scope="session")
def tiny(llama: Path, open_on_cpu: Callable[..., LanguageModel]) -> LanguageModel:
    """The tiny Llama, opened once for all tests that only ask it for scores."""
    return open_on_cpu(llama)


@pytest.fixture(scope="session")
def written() -> Callable[[Path, Iterable[Batch]], Path]:
    """Writes batches to a file, in the format that its name says."""
    from synthtools.records.outputs import open_sink
    from synthtools.records.shard_size import ShardSize

    def write(path: Path, batches: Iterable[Batch]) -> Path:
        options = {"shards": [], "force": True, "resume": False, "job": {}}
        sink = open_sink(str(path), None, shard_size=ShardSize(1 << 30, "bytes"), **options)
        for batch in batches:
            sink.write(batch)
        sink.finish()
        return path

    return write


@pytest.fixture(scope="session")
def builtin() -> str:
    """The built-in model's name, where it has been made."""
    if not BUILTIN_WEIGHTS.exists():
        pytest.skip("the built-in model has not been trained yet (src/synthtools/prior)")
    return "builtin"
