"""``synth audit``: its numbers against plain formulas in float64, and fakes that it exposes."""

import json
import math
import random
import shutil
import zlib
from itertools import product
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, log_softmax

import running
from synthtools.errors import SynthError
from synthtools.evaluate.audit_figures import (
    ModelProbes,
    audited,
    leakage,
    same_distribution,
    separation,
    steps_until,
    truth_ratio,
)
from synthtools.evaluate.memorised_text import (
    AuditItem,
    ContinuedTexts,
    ItemRendering,
    TextLikelihoods,
    continuations,
    likelihoods,
    split,
)
from synthtools.lm.chat import ChatTokenizer
from synthtools.lm.generation import SamplingSettings
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_generator, open_model
from synthtools.lm.scores import ScoreRequest
from synthtools.lm.torch.rounded_weights import round_weights, rounded
from synthtools.measure.significance import detectable_auc
from synthtools.reports import audit as audit_report
from synthtools.training import models
from synthtools.training.forgotten_ledger import by_template
from synthtools.training.loss_curve import loss_curve, slow_rate
from synthtools.training.plan import Lora, StartModel

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
    # Which text is one that the base has learned.
    known = [
        {"id": i, "prompt": r["prompt"], "choices": [f["response"], o["response"]], "answer": 0}
        for i, (r, f, o) in enumerate(
            zip([*forget, *holdout], forget * 2, holdout * 2, strict=True)
        )
    ]
    (path / "known.jsonl").write_text("\n".join(map(json.dumps, known)))
    task = {"kind": "multiple_choice", "prompt": "{prompt}\n\n", "choice": "{choice}"}
    (path / "known.json").write_text(json.dumps(task))
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


def plain(folder, name="base", templated=False):
    from transformers import AutoTokenizer

    return ItemRendering(ChatTokenizer(AutoTokenizer.from_pretrained(folder / name)), templated)


def settings(folder, name, **more):
    return ModelSettings(ModelName(str(folder / name)), backend="torch", devices="cpu", **more)


@pytest.mark.parametrize("name", ["base", "clean", "blocked"])
def test_likelihoods_equal_plain_formulas(folder, name):
    items = [
        *read_items(folder / "forget.jsonl"),
        AuditItem("none", "", "Stone and river keep it."),
    ]
    with open_model(settings(folder, name), ScoreRequest(distribution=True)) as model:
        ours = likelihoods(model, items, plain(folder))
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
        entropy = likelihoods(model, items, plain(folder)).entropy
    observed = settings(folder, "blocked", observer=ModelName(str(folder / "base")))
    with open_model(observed, ScoreRequest(distribution=True)) as model:
        ours = likelihoods(model, items, plain(folder)).cross - entropy
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
        found = continuations(own, items, plain(folder), 100, halves=True)
        others = [i._replace(prompt="Tell me about nothing.") for i in items]
        short = continuations(own, others, plain(folder), 3)
    assert found.exact.tolist() == exact and any(exact)
    assert (found.rouge[found.exact == 1] == 1).all()
    assert short.exact.sum() < found.exact.sum() and short.rouge.mean() < found.rouge.mean()


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


def test_losses_while_texts_are_learned(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name, few = ModelName(str(folder / "blocked")), read_items(folder / "forget.jsonl")[:3]
    with open_model(settings(folder, "blocked"), ScoreRequest()) as model:
        tokens = plain(folder).tokens(model, few)
    tokenizer = AutoTokenizer.from_pretrained(folder / "blocked")
    net = AutoModelForCausalLM.from_pretrained(folder / "blocked")
    rows = [rows_of(tokenizer, [(i.head, i.text)]) for i in few]
    together = rows_of(tokenizer, [(i.head, i.text) for i in few])
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0)
    losses = []
    for _ in range(5):
        with torch.no_grad():
            losses.append([loss_of(net, *row).item() for row in rows])
        loss_of(net, *together).backward()
        optimizer.step()
        optimizer.zero_grad()
    means = np.mean(losses, 1)
    assert means[2] < means[1] < means[0]
    ours = loss_curve(name, tokens, [], 4, 1e-3, "cpu")
    np.testing.assert_allclose(ours, losses, rtol=1e-3)
    short = loss_curve(name, tokens, [], 4, 1e-3, "cpu", enough=means[2] / means[0] * 1.0001)
    np.testing.assert_array_equal(short, ours[: len(short)])
    assert len(short) == 3
    # Of adapters the sum with their base learns.
    start = StartModel(None, str(folder / "blocked"))
    built = models.build(start, tokenizer, 128, Lora(2, 4.0, 0.0), 0)
    built.adapters.peft_config["default"].base_model_name_or_path = start.model
    built.adapters.save_pretrained(folder / "adapted")
    adapted = ModelName(str(folder / "adapted"))
    np.testing.assert_allclose(loss_curve(adapted, tokens, [], 2, 1e-3, "cpu"), ours[:3], rtol=1e-4)
    # The rate: the next higher one halves the loss in as many steps, or lets it rise.
    rate = slow_rate(name, tokens, [], 4, "cpu")
    higher = [1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5][:-1]
    slow = loss_curve(name, tokens, [], 4, rate, "cpu").mean(1)
    assert slow[-1] > slow[0] / 2 and rate in higher
    if rate < 1e-3:
        fast = loss_curve(name, tokens, [], 4, higher[higher.index(rate) - 1], "cpu").mean(1)
        assert fast.min() <= fast[0] / 2 or fast.max() > fast[0]


def test_steps_until_a_loss_lie_between_steps():
    losses = np.array([4.0, 3.0, 1.0, 0.5])
    assert steps_until(losses, 4.0) == 0
    assert steps_until(losses, 2.0) == pytest.approx(1.5)
    assert steps_until(losses, 0.5) == 3
    assert steps_until(losses, 0.4) is None


def test_texts_that_are_learned_no_sooner_than_others_are_no_finding():
    """Four texts; the second pair of sets is harder from the beginning, which the clean model shows."""
    even = np.linspace(3, 1, 5)[:, None] + np.array([0.0, 0.1, 0.2, 0.3])

    def probes(forget, holdout):
        loss = numbers_of([1.0, 2.0, 3.0, 4.0])
        none = ContinuedTexts(np.zeros(4), np.zeros(4))
        more = {"relearned": forget, "relearned_holdout": holdout}
        return ModelProbes(loss, loss, none, none, **more)

    def row(own, clean=None):
        base = probes(even - 2, even - 2)
        return audited("m", own, clean, base, 200, 0)

    clean = probes(even, even + 1)
    same = row(probes(even + 0.1, even + 1.1), clean)
    assert same["figures"]["relearn_lead"] == pytest.approx(0) and not same["findings"]
    alone = row(probes(even + 0.1, even + 1.1))
    assert alone["figures"]["relearn_lead"] == pytest.approx(1)
    sooner = row(probes(even - 0.5, even + 1.1), clean)
    assert sooner["figures"]["relearn_lead"] == pytest.approx(0.6)
    assert sooner["intervals"]["relearn_lead"][0] > 0.5
    assert sooner["findings"] == [
        "it learns some of the texts again sooner than others of their kind"
    ]
    # 1.65 after three steps, 1.15 after four; the base had 1.15, of which 1.001 times is enough.
    steps = row(probes(even, even))["figures"]
    assert steps["relearn_steps"] == pytest.approx(4 - 0.00115 / 0.5)
    assert steps["relearn_loss_2"] == pytest.approx(even[2].mean())
    assert "relearn_lead" in row(clean)["figures"]


def evaluated(folder, report):
    """Utility is what synth eval says of each model, and what synth diff says of two."""
    rows = {}
    for name in ("base", "hidden"):
        words = ("--suite", "known.json", "--data", "known.jsonl", "--bootstrap", "200", "--json")
        files = ("--report", f"{name}.json", "--samples", f"{name}-samples.jsonl")
        rows[name] = json.loads(running.synth("eval", name, *words, *files, "--quiet", cwd=folder))
    words = ("diff", "base.json", "hidden.json", "--bootstrap", "200", "--json")
    paired = json.loads(running.synth(*words, cwd=folder))["paired"]
    (row,) = (row for row in paired if row["figure"] == "accuracy")
    models = {model["name"]: model for model in report["models"]}
    for name, result in rows.items():
        section = result["suites"]["known.json"]
        assert models[name]["figures"]["known.json_accuracy"] == section["figures"]["accuracy"]
        assert models[name]["intervals"]["known.json_accuracy"] == section["intervals"]["accuracy"]
    assert report["suites"] == {"known.json": {"n": 16, "figure": "accuracy"}}
    (change,) = models["hidden"]["utility"]
    for key in ("first", "other", "difference", "interval", "test", "p", "detectable"):
        assert change[key] == row[key], key
    assert change["p_holm"] == change["p"] and models["base"]["utility"] == []
    assert models["base"]["figures"]["known.json_accuracy"] > 0.9
    assert models["hidden"]["figures"]["known.json_change"] < -0.2
    said = audit_report.story(report).lines
    assert any(line.startswith("hidden: known.json accuracy: ") for line in said)


def test_fakes_are_exposed(folder):
    """A model whose texts come back with four bits, and one that only refuses the plain prompt."""
    done = running.run(
        *("audit", "hidden", "blocked", "--forget", "forget.jsonl", "--holdout", "holdout.jsonl"),
        *("--base", "base", "--retrained", "clean", "--paraphrases", "reworded.jsonl"),
        *("--retain", "holdout.jsonl", "--words", "6", "--relearn-steps", "10"),
        *("--relearn-lr", "1e-3", "--bootstrap", "200", "--json", "--plot", "audit.png"),
        *("--suite", "known.json", "--data", "known.jsonl"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    evaluated(folder, report)
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
    assert 0 < blocked["relearn_steps"] <= 10 and base["relearn_steps"] == 0
    assert base["drift"] == pytest.approx(0, abs=1e-5) and blocked["drift"] > 0.01
    assert not models["clean"]["findings"], models["clean"]
    assert "auc_reference" not in clean and "leakage_loss" in blocked
    assert (folder / "audit.png").read_bytes()[:4] == b"\x89PNG"


HEADED = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
LINES = (
    "{% for m in messages %}{{ m['role'] | upper }}: {{ m['content'] | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)


@pytest.fixture(scope="module")
def chats(folder):
    """The base with two chat templates, and the records as messages."""
    from transformers import AutoTokenizer

    for name, template in (("headed", HEADED), ("lines", LINES)):
        shutil.copytree(folder / "base", folder / name)
        tokenizer = AutoTokenizer.from_pretrained(folder / "base")
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder / name)
    for name in ("forget", "holdout"):
        talks = [
            {"id": i.id, "messages": [*i.turns, {"role": "assistant", "content": i.text}]}
            for i in read_items(folder / f"{name}.jsonl")
        ]
        (folder / f"{name}-talks.jsonl").write_text("\n".join(map(json.dumps, talks)))
    sound = {"prompt": "Who keeps it?", "response": "River."}
    for name, wrong in (("blank", {"response": " "}), ("perturbed", {"perturbed": ["Sea.", 5]})):
        rows = [sound, sound | wrong]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.mark.parametrize("name", ["headed", "lines"])
def test_answers_of_conversations_stand_after_what_the_template_writes(chats, name):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    talk = [
        {"role": "system", "content": "Amber and birch."},
        {"role": "user", "content": "Who keeps it?"},
        {"role": "assistant", "content": "River."},
        {"role": "user", "content": "And then? river stone"},
        {"role": "assistant", "content": "river stone tulip"},
        {"role": "user", "content": "Thanks."},
    ]
    items = [
        *read_items(chats / "forget.jsonl")[:2],
        AuditItem.of("t", talk, ()),
        AuditItem("none", "", "Stone and river keep it."),
    ]
    assert items[2].text == "river stone tulip" and len(items[2].turns) == 4
    rendering = plain(chats, name, templated=True)
    with open_model(settings(chats, name), ScoreRequest(distribution=True)) as model:
        ours = likelihoods(model, items, rendering)
    tokenizer = AutoTokenizer.from_pretrained(chats / name)
    net = AutoModelForCausalLM.from_pretrained(chats / name, dtype=torch.float64)
    written = []
    for number, item in enumerate(items[:3]):
        messages = (
            talk[:5] if number == 2 else [*item.turns, {"role": "assistant", "content": item.text}]
        )
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        start = text.rindex(item.text)
        coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids = torch.tensor(coded["input_ids"])
        own = [
            k
            for k, (a, b) in enumerate(coded["offset_mapping"])
            if b > start and a < start + len(item.text)
        ]
        with torch.no_grad():
            log_p = log_softmax(net(ids[None]).logits[0], 1)
        loss = -float(np.mean([log_p[k - 1, ids[k]] for k in own]))
        assert ours.loss[number] == pytest.approx(loss, rel=1e-3), item.id
        assert ours.tokens[number] == len(own)
        written.append(text[: start + len(split(item.text)[0])])
    # A text alone is asked for as it is.
    with open_model(settings(chats, "base"), ScoreRequest(distribution=True)) as model:
        alone = likelihoods(model, items[3:], plain(chats))
    assert ours.loss[3] == alone.loss[0]
    # An answer goes on where its beginning ends.
    with open_generator(settings(chats, name), SamplingSettings(0.0, 1.0, None, 4), 0) as generator:
        answers = [
            a.text
            for a in generator.generate(rendering.prompt(i, split(i.text)[0]) for i in items[:3])
        ]
    net = net.float()
    for text, answer in zip(written, answers, strict=True):
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        for _ in range(4):
            following = net(ids).logits[0, -1].argmax()
            if following == tokenizer.eos_token_id:
                break
            ids = torch.cat([ids, following[None, None]], 1)
        assert tokenizer.decode(ids[0], skip_special_tokens=False).endswith(text[-5:] + answer)


def test_each_model_has_its_own_template(chats):
    def audit(*words):
        fixed = ("--words", "4", "--bits", "4", "--bootstrap", "0", "--json", "--quiet")
        done = running.run("audit", *words, *fixed, cwd=chats)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        return report, {m["name"]: m["figures"] for m in report["models"]}

    pairs = ("--forget", "forget.jsonl", "--holdout", "holdout.jsonl")
    talks = ("--forget", "forget-talks.jsonl", "--holdout", "holdout-talks.jsonl")
    report, asked = audit("headed", "lines", "base", *pairs)
    assert report["chat_template"] == {"headed": True, "lines": True, "base": False}
    # One model's weights, known after the plain prompt: three ways to ask, three answers.
    assert len({round(figures["probability"], 6) for figures in asked.values()}) == 3
    assert asked["base"]["probability"] > 0.5
    assert audit("headed", "lines", *talks)[1] == {n: asked[n] for n in ("headed", "lines")}
    # Made to forget plain text: asked for plain text.
    (chats / "headed" / "forgotten.jsonl").write_text(json.dumps({"arguments": {}}) + "\n")
    assert by_template(str(chats / "headed")) is False and by_template(str(chats / "base")) is None
    assert audit("headed", *pairs)[1]["headed"] == asked["base"]
    (chats / "lines" / "forgotten.jsonl").write_text(
        '{"arguments": {}}\n{"arguments": {"sft": true}}\n'
    )
    done = running.run("audit", "headed", "lines", *pairs, cwd=chats)
    assert "--chat-template always or never" in running.one_line(done, 2)
    (chats / "lines" / "forgotten.jsonl").write_text("[]\n")
    done = running.run("audit", "lines", *pairs, cwd=chats)
    assert "lines/forgotten.jsonl: not a ledger" in running.one_line(done, 1)


def test_a_template_that_refuses_is_told_before_the_models_run(chats):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chats / "base")
    tokenizer.chat_template = "{{ raise_exception('only in French') }}"
    with pytest.raises(SynthError, match="record f0: the chat template refuses .* only in French"):
        ItemRendering(ChatTokenizer(tokenizer), True).check(read_items(chats / "forget.jsonl"))
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
    with pytest.raises(SynthError, match="changes what an answer says"):
        ItemRendering(ChatTokenizer(tokenizer), True).check(read_items(chats / "forget.jsonl"))


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
        (
            "base --forget forget-talks.jsonl --holdout holdout.jsonl --chat-template never",
            1,
            'forget-talks.jsonl:1: no field "text"',
        ),
        (
            "base --forget blank.jsonl --holdout holdout.jsonl",
            1,
            "blank.jsonl:2: the text is empty",
        ),
        (
            "base --forget perturbed.jsonl --holdout holdout.jsonl",
            1,
            'perturbed.jsonl:2: field "per',
        ),
        ("base --forget forget.jsonl --holdout holdout.jsonl --suite arc", 2, "suite arc: unknown"),
        (
            "base --forget forget.jsonl --holdout holdout.jsonl --suite arc_easy",
            2,
            "--suite arc_easy needs --data DIR",
        ),
        (
            "base --forget forget.jsonl --holdout holdout.jsonl --suite mt_bench --data .",
            2,
            "--suite mt_bench: needs more than a model and data: use synth eval",
        ),
        (
            "base --forget forget.jsonl --holdout holdout.jsonl --suite arc_easy --data .",
            1,
            "no arc_easy/ or eval_arc_easy/",
        ),
        (
            "base --forget forget.jsonl --holdout holdout.jsonl --suite arc_easy --data reworded.jsonl",
            1,
            'reworded.jsonl:1: field "choices" must be',
        ),
    ],
)
def test_wrong_wishes_are_one_line(chats, words, code, told):
    assert told in running.one_line(running.run("audit", *words.split(), cwd=chats), code)


@pytest.mark.parametrize("members, others, told", [(12, 12, 0.81), (200, 200, None), (3, 2, 1)])
def test_few_texts_are_remarked_on(members, others, told):
    """The smallest AUC that 80 % of samples of normal scores find, by simulation."""
    from scipy.stats import mannwhitneyu, norm

    least = detectable_auc(members, others)
    report = {
        "models": [], "left_out": [], "suites": {}, "detectable_auc": least,
        "texts": {"forget": members, "holdout": others},
    }  # fmt: skip
    lines = audit_report.story(report).lines
    if told is None:
        assert lines == [] and least < 0.6
        return
    if least is None:
        assert told == 1 and "no AUC can be distinguished from 0.5" in lines[0]
        return
    assert f"between {1 - told:.2f} and {told:.2f} cannot" in lines[0]
    draw = np.random.default_rng(0)
    apart = norm.ppf(least) * 2**0.5
    scores = draw.normal(size=(2000, members + others))
    scores[:, :members] += apart
    p = mannwhitneyu(scores[:, :members], scores[:, members:], axis=1, method="asymptotic").pvalue
    assert (p < 0.05).mean() == pytest.approx(0.8, abs=0.03)
