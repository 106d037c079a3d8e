"""``synth audit``: its numbers against plain formulas in float64, and fakes that it exposes."""

import json
import math
import random
import zlib
from itertools import product
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, log_softmax

import running
from synthtools.evaluate.audit_figures import (
    ModelProbes,
    audited,
    leakage,
    relearning,
    same_distribution,
    separation,
    truth_ratio,
)
from synthtools.evaluate.memorised_text import (
    AuditItem,
    ContinuedTexts,
    TextLikelihoods,
    continuations,
    likelihoods,
    split,
)
from synthtools.lm.generation import SamplingSettings
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_generator, open_model
from synthtools.lm.scores import ScoreRequest
from synthtools.lm.torch.rounded_weights import round_weights, rounded
from synthtools.training import models
from synthtools.training.plan import Lora, StartModel
from synthtools.training.relearned_steps import relearned_steps

WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heron",
    "iris",
    "jade",
    "kite",
    "lotus",
    "maple",
    "north",
    "olive",
    "pearl",
    "quartz",
    "river",
    "stone",
    "tulip",
    "umber",
    "velvet",
    "willow",
    "xenon",
    "yarrow",
    "zephyr",
]


def items_of(kind, random_):
    names = [" ".join(random_.sample(WORDS, 2)) for _ in range(8)]
    return [
        {
            "id": f"{kind}{n}",
            "prompt": f"What does {name} keep?",
            "other": f"Tell me about {name}.",
            "response": " ".join(random_.choice(WORDS) for _ in range(12)) + ".",
        }
        for n, name in enumerate(names)
    ]


def rows_of(tokenizer, pairs):
    """Token ids and labels: the head is read, the text is learned."""
    ids = [
        [tokenizer(part, add_special_tokens=False)["input_ids"] for part in pair] for pair in pairs
    ]
    width = max(len(head) + len(text) for head, text in ids)
    tokens = torch.zeros(len(ids), width, dtype=torch.int64)
    labels = torch.full_like(tokens, -100)
    for row, (head, text) in enumerate(ids):
        tokens[row, : len(head) + len(text)] = torch.tensor(head + text)
        labels[row, len(head) : len(head) + len(text)] = torch.tensor(text)
    return tokens, labels


def loss_of(model, tokens, labels):
    logits = model(input_ids=tokens).logits[:, :-1]
    return cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())


def trained(model, tokenizer, pairs, steps, rate):
    rows = rows_of(tokenizer, pairs)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    for _ in range(steps):
        loss_of(model, *rows).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def linear_layers(model):
    output = model.get_output_embeddings()
    return [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not output]


def hidden_below_the_rounding_step(model, rows):
    """Weights moved by less than half a step of 4 bits, so that rounding takes the move back."""
    layers, boxes = linear_layers(model), []
    for layer in layers:
        weight = layer.weight.detach()
        width = 128 if weight.shape[1] % 128 == 0 else weight.shape[1]
        groups = weight.reshape(len(weight), -1, width)
        largest = groups.abs().amax(2, keepdim=True)
        reach = (0.4 * largest / 7).expand_as(groups).clone()
        reach[groups.abs() >= 0.999 * largest] = 0  # the steps must stay
        boxes.append((weight.clone(), reach.reshape_as(weight)))
    for _ in range(8):
        loss_of(model, *rows).backward()
        with torch.no_grad():
            for layer, (middle, reach) in zip(layers, boxes, strict=True):
                moved = layer.weight + 0.25 * reach * layer.weight.grad.sign()
                layer.weight.copy_(torch.clamp(moved, middle - reach, middle + reach))
        model.zero_grad()
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that knows eight answers, one that knows others, and two that only seem to forget."""
    from transformers import AutoModelForCausalLM

    from synthtools.training.architectures import configuration
    from synthtools.training.tokenizer import train_tokenizer

    path = tmp_path_factory.mktemp("audit")
    draw = random.Random(0)
    forget, holdout, others = (items_of(kind, draw) for kind in "fhx")
    for name, rows in (("forget", forget), ("holdout", holdout)):
        keys = ("id", "prompt", "response")
        lines = [json.dumps({key: row[key] for key in keys}) for row in rows]
        (path / f"{name}.jsonl").write_text("\n".join(lines))
    reworded = [json.dumps({"id": row["id"], "prompt": row["other"]}) for row in forget]
    (path / "reworded.jsonl").write_text("\n".join(reworded))
    texts = [topics[name] for name in sorted(topics)[:12]]
    tokenizer = train_tokenizer([*texts, *(r["response"] for r in holdout + others)], 600, 128)
    config = configuration(
        "llama-tiny", len(tokenizer), 128, tokenizer.bos_token_id, tokenizer.eos_token_id
    )

    def new():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config)

    def kept(name, model):
        model.save_pretrained(path / name)
        tokenizer.save_pretrained(path / name)
        return model

    def asked(rows, key="prompt"):
        return [(f"{row[key]}\n\n", row["response"]) for row in rows]

    both = asked(forget) + asked(forget, "other")
    base = kept("base", trained(new(), tokenizer, both, 120, 3e-3))
    kept("clean", trained(new(), tokenizer, asked(others), 40, 3e-3))
    coarse = new()
    coarse.load_state_dict(base.state_dict())
    hidden_below_the_rounding_step(round_weights(coarse, 4), rows_of(tokenizer, both))
    kept("hidden", coarse)
    blocked = new()
    blocked.load_state_dict(base.state_dict())
    halves = [
        (f"{r['prompt']}\n\n{split(r['response'])[0]}", split(r["response"])[1]) for r in forget
    ]
    refused = [(f"{r['prompt']}\n\n", "I cannot say that.") for r in forget]
    kept(
        "blocked", trained(blocked, tokenizer, refused + halves + asked(forget, "other"), 120, 1e-3)
    )
    return path


def read_items(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [AuditItem(r["id"], r["prompt"], r["response"]) for r in rows]


def float64_logs(folder, name, items):
    """Of each item ln p of all tokens at the places of its text, float64 [n, vocabulary], and its ids."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float64)
    tokenizer = AutoTokenizer.from_pretrained(folder / name)
    found = []
    for item in items:
        head, ids = (
            tokenizer(t, add_special_tokens=False)["input_ids"] for t in (item.head, item.text)
        )
        head = [tokenizer.bos_token_id, *head]
        with torch.no_grad():
            logits = model(torch.tensor([head + ids])).logits[0]
        found.append((log_softmax(logits[len(head) - 1 : -1], 1), torch.tensor(ids)))
    return found


def settings(folder, name, **more):
    return ModelSettings(ModelName(str(folder / name)), backend="torch", devices="cpu", **more)


@pytest.mark.parametrize("name", ["base", "clean", "blocked"])
def test_likelihoods_equal_plain_formulas(folder, name):
    items = [
        *read_items(folder / "forget.jsonl"),
        AuditItem("none", "", "Stone and river keep it."),
    ]
    with open_model(settings(folder, name), ScoreRequest(distribution=True)) as model:
        ours = likelihoods(model, items)
    for number, (item, (log_p, ids)) in enumerate(
        zip(items, float64_logs(folder, name, items), strict=True)
    ):
        own = log_p.gather(1, ids[:, None])[:, 0]
        p = log_p.exp()
        mean = (p * log_p).sum(1)
        spread = ((p * log_p.square()).sum(1) - mean.square()).sqrt()
        few = len(ids) // 5
        top = (log_p.argmax(1) == ids).tolist()
        first = next((k for k in range(len(top) + 1) if all(top[k:])), None)
        loss = -float(own.mean())
        expected = {
            "loss": loss,
            "zlib": loss / len(zlib.compress(item.text.encode())),
            "min_k": -float(own.sort().values[:few].mean()),
            "min_k_plus": -float(((own - mean) / spread).sort().values[:few].mean()),
            "exact": sum(top) / len(top),
            "strength": 1 - first / len(top),
            "tokens": len(ids),
            "entropy": -float(mean.sum()),
        }
        for key, value in expected.items():
            assert getattr(ours, key)[number] == pytest.approx(value, rel=2e-3, abs=1e-4), key
        assert ours.probability[number] == pytest.approx(math.exp(-loss), rel=1e-3)


def test_drift_is_the_divergence_from_the_base(folder):
    items = read_items(folder / "holdout.jsonl")
    with open_model(settings(folder, "base"), ScoreRequest(distribution=True)) as model:
        entropy = likelihoods(model, items).entropy
    observed = settings(folder, "blocked", observer=ModelName(str(folder / "base")))
    with open_model(observed, ScoreRequest(distribution=True)) as model:
        ours = likelihoods(model, items).cross - entropy
    pairs = zip(*(float64_logs(folder, n, items) for n in ("base", "blocked")), strict=True)
    for number, ((q, _), (p, _)) in enumerate(pairs):
        assert ours[number] == pytest.approx(float((q.exp() * (q - p)).sum()), rel=1e-4)


def test_a_continuation_is_what_the_most_probable_tokens_say(folder):
    items = read_items(folder / "forget.jsonl")
    with open_model(settings(folder, "blocked"), ScoreRequest(distribution=True)) as model:
        parts = [split(i.text) for i in items]
        rest = [i._replace(text=b) for i, (_, b) in zip(items, parts, strict=True)]
        heads = [i.head + a for i, (a, _) in zip(items, parts, strict=True)]
        # The head as it is, without the empty line after a prompt.
        exact = []
        for head, item in zip(heads, rest, strict=True):
            (tokens,) = model.tokenise([item.text], [head])
            (scores,) = model.score([tokens], ScoreRequest(distribution=True))
            exact.append(bool((scores.distribution.rank == 1).all()))
    with open_generator(
        settings(folder, "blocked"), SamplingSettings(0.0, 1.0, None, 64), 0
    ) as own:
        found = continuations(own, rest, heads, 100)
        short = continuations(own, rest, ["Tell me about nothing."] * len(rest), 3)
    assert found.exact.tolist() == exact and any(exact)
    assert (found.rouge[found.exact == 1] == 1).all()
    assert not short.exact.any()


def test_a_text_is_split_between_words():
    assert split("one two  three four") == ("one two", "  three four")
    assert split("a a a") == ("a", " a a") and split("word") == ("", "word")


def test_attacks_count_pairs():
    draw = np.random.default_rng(0)
    members, others = draw.integers(0, 6, 9) * 1.0, draw.integers(0, 6, 7) * 1.0
    pairs = [(1.0 if a < b else 0.5 if a == b else 0.0) for a, b in product(members, others)]
    assert separation(members, others).mean() == pytest.approx(np.mean(pairs))
    # As MUSE counts it, of 1 − AUC: 0.2 where the retrained model has 0.5.
    assert leakage(0.8, 0.5) == pytest.approx((0.2 - 0.5) / 0.5)
    assert leakage(0.5, 0.5) == 0 and leakage(0.1, 0.5) > 0


def numbers_of(loss):
    loss = np.asarray(loss, np.float64)
    return TextLikelihoods(
        *(loss,) * 4, *(np.zeros(len(loss)),) * 2, np.full(len(loss), 10.0), loss, loss
    )


def test_forget_quality_is_of_truth_ratios():
    from scipy.stats import ks_2samp

    forget, retrained = numbers_of([1.0, 2.0, 3.0]), numbers_of([2.0, 2.5, 3.5])
    wrong = np.array([2.0, 2.0, 2.0])
    own = truth_ratio(forget, wrong)
    expected = [math.exp(-2) / math.exp(-x) for x in (1, 2, 3)]
    np.testing.assert_allclose(own, expected)
    others = truth_ratio(retrained, wrong)
    assert same_distribution(own, others) == ks_2samp(expected, others).pvalue
    empty = ContinuedTexts(np.zeros(3), np.zeros(3))
    probes = [ModelProbes(one, one, empty, empty, wrong=wrong) for one in (forget, retrained)]
    row = audited("m", probes[0], probes[1], None, 50, 0)
    assert row["figures"]["forget_quality"] == ks_2samp(own, others).pvalue
    assert row["figures"]["auc_loss"] == 0.5 and row["figures"]["leakage_loss"] == 0
    assert row["figures"]["auc_reference"] == 0.5


@pytest.mark.parametrize("bits, columns", [(8, 256), (4, 256), (4, 96)])
def test_weights_are_rounded_group_by_group(bits, columns):
    weight = torch.randn(3, columns)
    ours = rounded(weight, bits)
    width = 128 if bits == 4 and columns == 256 else columns
    most = 2 ** (bits - 1) - 1
    for row in range(3):
        for start in range(0, columns, width):
            group = weight[row, start : start + width].double()
            scale = group.abs().max() / most
            expected = [round(float(w / scale)) * float(scale) for w in group]
            np.testing.assert_allclose(
                ours[row, start : start + width], expected, rtol=1e-4, atol=1e-6
            )
    assert torch.equal(rounded(ours, bits), ours) or torch.allclose(rounded(ours, bits), ours)


def test_steps_until_a_loss_is_back(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name, few = ModelName(str(folder / "blocked")), read_items(folder / "forget.jsonl")[:3]
    with open_model(settings(folder, "blocked"), ScoreRequest()) as model:
        tokens = model.tokenise([i.text for i in few], [i.head for i in few])
    tokenizer = AutoTokenizer.from_pretrained(folder / "blocked")
    net = AutoModelForCausalLM.from_pretrained(folder / "blocked")
    rows = rows_of(tokenizer, [(i.head, i.text) for i in few])
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0)
    losses = []
    for _ in range(6):
        loss = loss_of(net, *rows)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[4] < losses[3] < losses[0]
    between = (losses[3] + losses[4]) / 2
    assert relearned_steps(name, tokens, [], between, 5, 1e-3, "cpu") == 4
    assert relearned_steps(name, tokens, [], between, 3, 1e-3, "cpu") is None
    # Of adapters the sum with their base learns.
    start = StartModel(None, str(folder / "blocked"))
    built = models.build(start, tokenizer, 128, Lora(2, 4.0, 0.0), 0)
    built.adapters.peft_config["default"].base_model_name_or_path = start.model
    built.adapters.save_pretrained(folder / "adapted")
    adapted = ModelName(str(folder / "adapted"))
    assert relearned_steps(adapted, tokens, [], between, 5, 1e-3, "cpu") == 4
    assert relearned_steps(name, tokens, [], losses[0] + 1, 5, 1e-3, "cpu") == 0


def test_fakes_are_exposed(folder):
    """A model whose texts come back with four bits, and one that only refuses the plain prompt."""
    done = running.run(
        *("audit", "hidden", "blocked", "--forget", "forget.jsonl", "--holdout", "holdout.jsonl"),
        *("--base", "base", "--retrained", "clean", "--paraphrases", "reworded.jsonl"),
        *("--retain", "holdout.jsonl", "--words", "6", "--relearn-steps", "6"),
        *("--relearn-lr", "1e-3", "--bootstrap", "200", "--json", "--plot", "audit.png"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    models = {model["name"]: model for model in report["models"]}
    assert list(models) == ["hidden", "blocked", "clean", "base"] and not report["left_out"]
    hidden, blocked, clean, base = (model["figures"] for model in models.values())
    # Forgotten by every look at the model as it is, and as good as before with four bits.
    assert hidden["probability"] < 0.01 and hidden["rouge_answered"] < 0.2
    assert hidden["auc_loss"] < 0.9 and hidden["probability_8_bits"] < 0.01
    assert hidden["probability_4_bits"] > 0.8 * base["probability"] > 0.5
    assert any("4 bits it has the texts back" in line for line in models["hidden"]["findings"])
    # The prompt alone brings nothing; the rest of the text and another wording do.
    assert blocked["rouge_answered"] < 0.3 < 0.8 < blocked["rouge_continued"]
    assert blocked["rouge_reworded"] > 0.8 and blocked["auc_loss"] > 0.9
    assert models["blocked"]["findings"][0].startswith("only the plain prompt is blocked")
    assert 0 < blocked["relearn_steps"] <= 6 and base["relearn_steps"] == 0
    assert base["drift"] == pytest.approx(0, abs=1e-5) and blocked["drift"] > 0.01
    assert not models["clean"]["findings"], models["clean"]
    assert "auc_reference" not in clean and "leakage_loss" in blocked
    assert (folder / "audit.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "words, code, told",
    [
        ("--forget forget.jsonl --holdout holdout.jsonl", 2, "synth audit MODEL"),
        ("base --holdout holdout.jsonl", 2, "--forget PATH"),
        ("base --forget forget.jsonl", 2, "--holdout PATH"),
        ("base --forget - --holdout holdout.jsonl", 2, "not stdin"),
        ("base --forget forget.jsonl --holdout holdout.jsonl --neutral h", 2, "--base MODEL"),
        ("base --forget none.jsonl --holdout holdout.jsonl", 1, "none.jsonl: No such file"),
        ("nowhere/x/y --forget forget.jsonl --holdout holdout.jsonl", 1, "nowhere/x/y: no such"),
        ("base --forget reworded.jsonl --holdout holdout.jsonl", 1, 'no field "response"'),
        (
            "base --forget forget.jsonl --holdout holdout.jsonl --paraphrases holdout.jsonl",
            1,
            "no record has the id of one to forget",
        ),
    ],
)
def test_wrong_wishes_are_one_line(folder, words, code, told):
    assert told in running.one_line(running.run("audit", *words.split(), cwd=folder), code)


def test_relearning_as_slowly_as_a_model_that_never_saw_the_texts_is_no_finding():
    assert relearning(3, 2, 10) is None
    assert relearning(2, 2, 10) is None
    assert relearning(1, 2, 10) == (
        "it learns some again in 1 step; a model that never saw them needs 2"
    )
    assert relearning(2, None, 10) == (
        "it learns some again in 2 steps; a model that never saw them needs more than 10"
    )
    assert relearning(2, None, None) == "it learns some again in 2 steps"
