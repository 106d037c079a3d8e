"""Model directories that mean harm: nothing of theirs is run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faults.cases import Seen, case, copy_of_model, human, model, run, seen, sound

if TYPE_CHECKING:
    pass


# Were it run or imported, a file would tell.
_EVIL = "from pathlib import Path\nPath({witness!r}).touch()\nclass Evil:\n    pass\n"


class Harm:
    """What a pickle does when it is loaded."""

    def __init__(self, witness: Path) -> None:
        self._witness = str(witness)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.system, (f"touch {self._witness}",)


@contextmanager
def unharmed(folder: Path) -> Iterator[Path]:
    """Sees that what a model brings is not run: the file that it would make is not there."""
    witness = folder / "evil-was-here"
    yield witness
    sound(not witness.exists(), "code of the model has run")


def _edit_json(path: Path, **members: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


def _score(folder: Path, directory: Path, *words: str) -> Seen:
    """ppl with a hostile model, started in its directory."""
    data = human(folder, 3)
    return seen(run("ppl", "--model", directory, data, cwd=directory), *words)


@case("a model directory of pickle weights", quick=True)
def pickled_weights(folder: Path) -> Seen:
    copy = copy_of_model(folder)
    with unharmed(folder) as witness:
        (copy / "model.safetensors").unlink()
        (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Harm(witness)))
        return _score(folder, copy, "pickle files, which can run code when loaded")


@case("pickle bytes under the name model.safetensors")
def pickle_in_disguise(folder: Path) -> Seen:
    copy = copy_of_model(folder)
    with unharmed(folder) as witness:
        (copy / "model.safetensors").write_bytes(pickle.dumps(Harm(witness)))
        return _score(folder, copy, "cannot be loaded: SafetensorError")


@case("LoRA adapters of pickle weights; adapters that name a module to import")
def pickled_adapters(folder: Path) -> Seen:
    adapters = folder / "adapters"
    shutil.copytree(model(), adapters, ignore=shutil.ignore_patterns("training", "*.safetensors"))
    config = {"peft_type": "LORA", "base_model_name_or_path": str(model()), "r": 2}
    config |= {"target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
    with unharmed(folder) as witness:
        (adapters / "adapter_config.json").write_text(json.dumps(config))
        (adapters / "adapter_model.bin").write_bytes(pickle.dumps(Harm(witness)))
        result = _score(folder, adapters, "has no adapter_model.safetensors")
        (adapters / "evil.py").write_text(_EVIL.format(witness=str(witness)))
        shutil.copy(model() / "model.safetensors", adapters / "adapter_model.safetensors")
        config |= {"megatron_config": {"a": 1}, "megatron_core": "evil"}
        (adapters / "adapter_config.json").write_text(json.dumps(config))
        _score(folder, adapters, "for Megatron")
    return result


@case("auto_map in the configuration of model and tokenizer: code from the repository")
def remote_code(folder: Path) -> Seen:
    with unharmed(folder) as witness:
        for number, (name, members) in enumerate(
            (
                ("config.json", {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}}),
                (
                    "tokenizer_config.json",
                    {
                        "tokenizer_class": "Evil",
                        "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
                    },
                ),
            )
        ):
            (folder / f"{number}").mkdir()
            copy = copy_of_model(folder / f"{number}")
            (copy / "evil.py").write_text(_EVIL.format(witness=str(witness)))
            _edit_json(copy / name, **members)
            result = _score(folder, copy, "needs code from its repository, which is never run")
        # Beside an architecture that transformers knows, the code is left alone.
        copy = copy_of_model(folder)
        (copy / "evil.py").write_text(_EVIL.format(witness=str(witness)))
        code = {"AutoModelForCausalLM": "evil.Evil", "AutoConfig": "evil.Evil"}
        _edit_json(copy / "config.json", auto_map=code)
        done = run("ppl", "--model", copy, human(folder, 3), cwd=copy)
        sound(done.returncode == 0, f"not read: {done.stderr!r}")
    return result


@case("an attention that is to come from the Hub as a compiled kernel")
def kernels_from_the_hub(folder: Path) -> Seen:
    copy = copy_of_model(folder)
    data = human(folder, 3)
    for name in ("attn_implementation", "_attn_implementation"):
        _edit_json(copy / "config.json", **{name: "someone/evil-kernel"})
        result = seen(run("ppl", "--model", copy, data), "code from the Hub and never run here")
        shutil.copy(model() / "config.json", copy / "config.json")
    return result


@case("an index of weights that names files outside the directory")
def index_outside(folder: Path) -> Seen:
    outside = folder / "outside.safetensors"
    shutil.copy(model() / "model.safetensors", outside)
    for number, name in enumerate(("../outside.safetensors", str(outside), "a/../../x", 7, None)):
        (folder / f"{number}").mkdir()
        copy = copy_of_model(folder / f"{number}")
        (copy / "model.safetensors").unlink()
        index = {"metadata": {}, "weight_map": {"model.norm.weight": name}}
        (copy / "model.safetensors.index.json").write_text(json.dumps(index))
        result = _score(folder, copy, "names a file outside the directory")
    return result


@case("links out of the model directory, to what are no weights")
def links_outside(folder: Path) -> Seen:
    copy = copy_of_model(folder)
    for name, target in (("model.safetensors", "/etc/passwd"), ("tokenizer.json", "/etc/passwd")):
        held = (copy / name).read_bytes()
        (copy / name).unlink()
        (copy / name).symlink_to(target)
        result = _score(folder, copy, "cannot be loaded")
        sound("root:" not in result.line, "the line shows what the link leads to")
        (copy / name).unlink()
        (copy / name).write_bytes(held)
    return result


@case("a chat template that reaches for Python, and one that counts to a billion")
def chat_template(folder: Path) -> Seen:
    copy = copy_of_model(folder)
    prompts = folder / "prompts.jsonl"
    prompts.write_text('{"prompt": "hello"}\n')
    with unharmed(folder) as witness:
        for template in (
            f"{{{{ ''.__class__.__mro__[1].__subclasses__() }}}}{{{{ cycler.__init__.__globals__.os.system('touch {witness}') }}}}",
            "{% for i in range(1000000000) %}{{ i }}{% endfor %}",
            "{% if",
        ):
            (copy / "chat_template.jinja").write_text(template)
            done = run(
                *("generate", "--model", copy, prompts, "--max-new-tokens", 2),
                *("--on-error", "fail"),
            )
            result = seen(done, code=1, more=True)
    return result
