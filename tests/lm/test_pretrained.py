"""What cannot be loaded is refused in one line that names the model and the reason."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from synthtools.errors import SynthError, UsageError
from synthtools.lm.devices import choose, device_list, torch_dtype
from synthtools.lm.load_errors import load_errors
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_model
from synthtools.lm.pretrained import load_tokenizer
from synthtools.lm.scorer import LanguageModel
from synthtools.lm.scores import ScoreRequest
from synthtools.training.tokenizer import train_tokenizer

Open = Callable[..., LanguageModel]


@pytest.fixture
def copy(llama: Path, tmp_path: Path) -> Path:
    """A model directory of one's own to damage."""
    return Path(shutil.copytree(llama, tmp_path / "model"))


def refused(open_on_cpu: Open, name: Path | str, **settings: Any) -> str:
    """The one line in which a model is refused."""
    with pytest.raises(SynthError) as raised:
        open_on_cpu(name, **settings)
    line = str(raised.value)
    assert "\n" not in line
    assert len(line) < 400
    return line


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    without_weights(folder)


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def scrambled(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"this is no safetensors file")


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, {"format": "pt"})


def incomplete(folder: Path) -> None:
    edit_weights(folder, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))


def misshapen(folder: Path) -> None:
    edit_weights(folder, lambda weights: weights.update({"lm_head.weight": torch.zeros(700, 64)}))


def edit_json(path: Path, **members: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


# Were it run, the file in the working directory would tell.
_EVIL = "from pathlib import Path\nPath('evil-was-here').touch()\nclass Evil: pass\n"


def remote_model(folder: Path) -> None:
    (folder / "evil.py").write_text(_EVIL)
    code = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}
    edit_json(folder / "config.json", model_type="evil", auto_map=code)


def remote_tokenizer(folder: Path) -> None:
    (folder / "evil.py").write_text(_EVIL)
    edit_json(
        folder / "tokenizer_config.json",
        tokenizer_class="Evil",
        auto_map={"AutoTokenizer": ["evil.Evil", None]},
    )


def with_configuration(**change: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "config.json", **change)


def narrow(folder: Path) -> None:
    edit_weights(
        folder,
        lambda weights: weights.update(
            {
                "model.layers.0.mlp.up_proj.weight": torch.zeros(
                    3, weights["model.norm.weight"].numel()
                )
            }
        ),
    )


def without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()


def broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": ')


def without_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()


def unknown_architecture(folder: Path) -> None:
    edit_json(folder / "config.json", model_type="nonesuch")


def broken_configuration(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def odd_architectures(folder: Path) -> None:
    edit_json(folder / "config.json", architectures=[["LlamaForCausalLM"]])


def odd_length(folder: Path) -> None:
    edit_json(folder / "tokenizer_config.json", model_max_length=[])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (odd_architectures, "architectures is not a list of names"),
        (odd_length, "model_max_length is not a number"),
        (without_configuration, "has no config.json"),
        (broken_configuration, "not a valid JSON file"),
        (unknown_architecture, "nonesuch"),
        (without_weights, "no weights"),
        (pickled, "pickle files, which can run code"),
        (cut, "cannot be loaded: SafetensorError"),
        (scrambled, "cannot be loaded: SafetensorError"),
        (incomplete, "lack model.layers.1.mlp.up_proj.weight"),
        (misshapen, "lm_head.weight has the shape 700×64 in its weights"),
        (narrow, "model.layers.0.mlp.up_proj.weight has the shape 3×"),
        # Either loaded for ever, or was taken as it stands.
        (
            with_configuration(num_hidden_layers=10**6),
            "num_hidden_layers is 1,000,000, but there are",
        ),
        (
            with_configuration(num_hidden_layers=1),
            "weights hold model.layers.1.input_layernorm.weight",
        ),
        (with_configuration(vocab_size=10**12), "1000000000000×"),
        (
            with_configuration(max_position_embeddings=-5),
            "max_position_embeddings is -5; it must be",
        ),
        (with_configuration(num_attention_heads=0), "num_attention_heads is 0"),
        (with_configuration(vocab_size="many"), "vocab_size is many"),
        (with_configuration(rope_theta=0), "rope_theta is 0; it must be a number above 0"),
        (
            with_configuration(rope_parameters={"rope_theta": 0.0, "rope_type": "default"}),
            "rope_theta",
        ),
        (
            with_configuration(rope_scaling={"rope_type": "linear", "factor": -2.0}),
            "factor is -2.0",
        ),
        (with_configuration(rms_norm_eps=float("inf")), "rms_norm_eps is inf"),
        (remote_model, "code from its repository, which is never run"),
        (remote_tokenizer, "code from its repository, which is never run"),
        (without_tokenizer, "cannot be loaded"),
        (broken_tokenizer, "cannot be loaded"),
    ],
)
def test_damaged_models_are_refused(
    copy: Path,
    open_on_cpu: Open,
    damage: Callable[[Path], None],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    damage(copy)
    monkeypatch.chdir(tmp_path)
    line = refused(open_on_cpu, copy)
    assert line.startswith(f"{copy}: ")
    assert reason in line
    assert not (tmp_path / "evil-was-here").exists()


def test_remote_code_beside_a_known_architecture_is_left_alone(
    copy: Path, open_on_cpu: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (copy / "evil.py").write_text(_EVIL)
    edit_json(copy / "config.json", auto_map={"AutoModelForCausalLM": "evil.Evil"})
    monkeypatch.chdir(tmp_path)
    model = open_on_cpu(copy)
    assert model.description["architecture"] == "llama"
    assert not (tmp_path / "evil-was-here").exists()


def test_weights_missing_a_whole_shard_are_refused(copy: Path, open_on_cpu: Open) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(copy)
    without_weights(copy)
    model.save_pretrained(copy, max_shard_size="100KB")
    assert open_on_cpu(copy)
    sorted(copy.glob("model-*.safetensors"))[1].unlink()
    assert "model-00002" in refused(open_on_cpu, copy)


@pytest.mark.parametrize(
    "name", ["/no/such/directory", "./no-such-directory", "../no/such", "a/b/c", "~/none"]
)
def test_no_such_directory(open_on_cpu: Open, name: str) -> None:
    assert refused(open_on_cpu, name) == f"{name}: no such model directory"


@pytest.mark.parametrize("name", ["no-such-model", "someone/no-such-model", "a b c", ""])
def test_no_such_model_on_the_hub(open_on_cpu: Open, name: str) -> None:
    line = refused(open_on_cpu, name)
    assert line.startswith(f"{name}: ")
    assert "neither a directory nor a model that the Hub gives" in line


def test_a_hub_out_of_reach_is_told_soon_and_in_one_line(tmp_path: Path) -> None:
    # A server that hangs up, and no leave to go elsewhere; an empty cache.
    hub = socket.create_server(("127.0.0.1", 0))
    calls: list[object] = []

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            while True:
                calls.append(hub.accept()[0].close())

    threading.Thread(target=hang_up, daemon=True).start()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")},
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}",
        "HF_HOME": str(tmp_path),
    }
    del environment["HF_HUB_OFFLINE"]
    done = subprocess.run(
        [sys.executable, "-m", "synthtools", "ppl", "-m", "someone/model"],
        input=b'{"text": "a"}\n',
        capture_output=True,
        env=environment,
        check=False,
        timeout=100,
    )
    assert done.returncode == 1
    assert done.stdout == b""
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("synth: someone/model: neither a directory nor a model that the Hub")
    # Without a look beforehand, it would be six attempts in half a minute for every file.
    assert 1 <= len(calls) <= 2
    hub.close()


def test_a_fault_of_the_builtin_model_is_not_called_an_unknown_name() -> None:
    with (
        pytest.raises(SynthError, match="^builtin: cannot be loaded: disk error$"),
        load_errors("builtin"),
    ):
        raise OSError("disk error")


def test_a_tokenizer_of_another_size_is_refused(
    copy: Path, llama: Path, open_on_cpu: Open, documents: list[str], tmp_path: Path
) -> None:
    larger = tmp_path / "larger"
    train_tokenizer(documents[:20], 650).save_pretrained(larger)
    line = refused(open_on_cpu, llama, tokenizer=str(larger))
    assert line.startswith(f"{larger}: its tokenizer has 650 tokens, the model only 600")
    # A special token beyond the vocabulary comes in no text.
    tokenizer = load_tokenizer(str(copy))
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(copy)
    model = open_on_cpu(copy)
    assert max(model.tokenise(["<pad>"])[0].ids) < 600


def test_settings_that_cannot_be(llama: Path, open_on_cpu: Open) -> None:
    assert "takes at most 128 tokens" in refused(open_on_cpu, llama, context=129)
    for devices in ("abacus", "mps"):
        with pytest.raises(UsageError, match=devices):
            open_on_cpu(llama, devices=devices)


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="has 0 GPUs"):
        device_list("0")
    assert choose("auto") == "cpu"
    assert device_list("auto") == ["cpu"]
    assert device_list("cpu, cpu") == ["cpu", "cpu"]


def test_types() -> None:
    assert torch_dtype("auto", on_gpu=False) == "float32"
    assert torch_dtype("auto", on_gpu=True) == "bfloat16"
    assert torch_dtype("float16", on_gpu=False) == "float16"


def test_bos_without_such_a_token(copy: Path, open_on_cpu: Open) -> None:
    from tokenizers import Tokenizer

    backend = Tokenizer.from_file(str(copy / "tokenizer.json"))
    backend.post_processor = None
    backend.save(str(copy / "tokenizer.json"))
    edit_json(copy / "tokenizer_config.json", bos_token=None)
    assert not open_on_cpu(copy).description["begin_of_text"]
    with pytest.raises(UsageError, match="has no begin-of-text token"):
        open_on_cpu(copy, bos="always")


def test_description(llama: Path, open_on_cpu: Open) -> None:
    assert open_on_cpu(llama).description == {
        "name": str(llama),
        "revision": None,
        "architecture": "llama",
        "backend": "torch",
        "context": 128,
        "stride": 96,
        "begin_of_text": True,
    }


def test_loading_says_nothing(llama: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with open_model(
        ModelSettings(ModelName(str(llama)), "torch", devices="cpu"), ScoreRequest(8)
    ) as model:
        model.score(model.tokenise(["some text"]), ScoreRequest(8))
    assert capfd.readouterr() == ("", "")
