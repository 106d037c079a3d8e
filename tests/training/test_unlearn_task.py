"""Losses and gradients of every method against plain float64; what counts and what does not."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax, softplus

from synthtools.errors import UsageError
from synthtools.lm.model_name import ModelName
from synthtools.training import models, tokenized_rows
from synthtools.training.conversations import (
    AnswerPair,
    PlainDocument,
    answer_encoder,
    conversation_encoder,
)
from synthtools.training.corpus import Corpus, RefusedDocument, text_encoder
from synthtools.training.divergence import compared
from synthtools.training.frozen_model import FrozenModel, adapters_off, negated
from synthtools.training.head import KLTarget, head_loss
from synthtools.training.language_model_task import ModelWithHead, RowStream
from synthtools.training.objectives import (
    ASCENT,
    BOUNDED,
    CROSS_ENTROPY,
    negative_preference,
    preference,
    simple_negative_preference,
    unlearn_loss,
    weighted_ascent,
)
from synthtools.training.packers import IGNORED, SECOND, Blend, CutPacker, WholePacker
from synthtools.training.parallel import Ranks
from synthtools.training.plan import Lora, StartModel, Step
from synthtools.training.steered_states import SteeredTask
from synthtools.training.stop_rules import StopRule, StopRules
from synthtools.training.unlearn_methods import METHODS, Weights
from synthtools.training.unlearn_run import first_texts
from synthtools.training.unlearn_task import FORGET, REPLAY, UnlearnTask

ALONE = Ranks(0, 1, "cpu")
TOKENS = {
    "ce": (CROSS_ENTROPY, lambda log_p: -log_p),
    "ascent": (ASCENT, lambda log_p: log_p),
    "bounded": (BOUNDED, lambda log_p: -torch.log1p(-log_p.exp())),
    "weighted": (weighted_ascent(0.7), lambda log_p: (0.7 * log_p).exp().detach() * log_p),
}
DOCUMENTS = {
    "npo": (negative_preference(0.1), lambda p, q, n: 20 * torch.log1p(((p - q) * 0.1).exp())),
    "simnpo": (
        simple_negative_preference(2.5, 0.3),
        lambda p, q, n: -0.8 * torch.log(torch.sigmoid(-2.5 * p / n - 0.3)),
    ),
}


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("vocabulary, scale", [(700, 0.5), (131_072, 0.2)])
def test_values_and_gradients_equal_float64(name, vocabulary, scale):
    torch.manual_seed(0)
    objective, plain = TOKENS[name]
    hidden, weight = torch.randn(40, 16) * scale, torch.randn(vocabulary, 16) * scale
    labels, weights = torch.randint(0, vocabulary, (40,)), torch.rand(40)
    ours = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]
    found = head_loss(*ours, labels, weights, objective)
    found.total.backward()
    theirs = [hidden.double().requires_grad_(), weight.double().requires_grad_()]
    log_p = log_softmax(theirs[0] @ theirs[1].T, 1).gather(1, labels[:, None])[:, 0]
    (plain(log_p) * weights.double()).sum().backward()
    torch.testing.assert_close(
        objective.value(found.odds).double(), plain(log_p).detach(), rtol=1e-6, atol=1e-6
    )
    for mine, other in zip(ours, theirs, strict=True):
        largest = other.grad.abs().max()
        assert (mine.grad.double() - other.grad).abs().max() <= 2e-6 * largest


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("odds", [-80.0, -30.0, -1.0, 0.0, 1.0, 17.0, 30.0, 80.0])
def test_slopes_are_exact_at_both_ends(name, odds):
    objective, _ = TOKENS[name]
    d = torch.tensor([odds], dtype=torch.float64, requires_grad=True)
    if name == "weighted":
        (slope,) = torch.autograd.grad(-softplus(-d), d)
        slope = slope * torch.exp(-0.7 * softplus(-d)).detach()
    else:
        (slope,) = torch.autograd.grad(objective.value(d), d)
    ours = objective.slope(torch.tensor([odds]))
    assert torch.isfinite(objective.value(torch.tensor([odds]))).all()
    torch.testing.assert_close(ours.double(), slope, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_slopes_of_documents_are_the_derivatives(name):
    objective, plain = DOCUMENTS[name]
    p = torch.tensor([-400.0, -35.0, -4.0, -0.1], dtype=torch.float64, requires_grad=True)
    q = torch.tensor([-390.0, -30.0, -9.0, -0.2], dtype=torch.float64)
    n = torch.tensor([80.0, 9.0, 4.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(objective.value(p, q, n), plain(p, q, n))
    (slope,) = torch.autograd.grad(plain(p, q, n).sum(), p)
    torch.testing.assert_close(objective.slope(p.detach(), q, n), slope)


def test_the_slopes_of_a_pair_are_the_derivatives():
    objective = preference(0.1)
    p = torch.tensor([-40.0, -35.0, -4.0, -90.0], dtype=torch.float64, requires_grad=True)
    q = torch.tensor([-39.0, -30.0, -9.0, -20.0], dtype=torch.float64)
    margin = (p - q).reshape(-1, 2) @ torch.tensor([-1.0, 1.0], dtype=torch.float64)
    each = -20 * torch.log(torch.sigmoid(0.1 * margin))
    torch.testing.assert_close(objective.value(p, q, None), each.repeat_interleave(2))
    # The mean over documents is that over pairs: so is its gradient.
    (slope,) = torch.autograd.grad(each.mean(), p)
    torch.testing.assert_close(objective.slope(p.detach(), q, None) / 4, slope)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("vocabulary", [700, 131_072])
def test_divergence_and_its_gradient_equal_float64(reverse, vocabulary, monkeypatch):
    torch.manual_seed(1)
    hidden, weight = torch.randn(23, 16) * 0.5, torch.randn(vocabulary, 16) * 0.5
    kept_hidden, kept_weight = hidden + 0.1 * torch.randn(23, 16), weight + 0.05
    labels, weights, of_kl = torch.randint(0, vocabulary, (23,)), torch.rand(23), torch.rand(23)
    if vocabulary < 1000:
        monkeypatch.setattr("synthtools.training.head._CHUNK_NUMBERS", 5 * vocabulary)
    ours = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]
    original = KLTarget(kept_hidden, kept_weight, of_kl, reverse)
    found = head_loss(*ours, labels, weights, CROSS_ENTROPY, original)
    found.total.backward()
    theirs = [hidden.double().requires_grad_(), weight.double().requires_grad_()]
    log_p = log_softmax(theirs[0] @ theirs[1].T, 1)
    log_q = log_softmax(kept_hidden.double() @ kept_weight.double().T, 1)
    a, b = (log_p, log_q) if reverse else (log_q, log_p)
    kl = (a.exp() * (a - b)).sum(1)
    nll = -log_p.gather(1, labels[:, None])[:, 0]
    (kl * of_kl.double() + nll * weights.double()).sum().backward()
    torch.testing.assert_close(found.divergence.double(), kl.detach(), rtol=1e-5, atol=2e-6)
    expected = -log_q.gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(found.original_nll.double(), expected, rtol=1e-6, atol=1e-6)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.grad.double() - other.grad).abs().max() <= 4e-6 * other.grad.abs().max()


def test_a_certain_model_keeps_its_divergence_finite():
    weight = torch.eye(4)
    hidden = torch.tensor([[90.0, 0, 0, 0], [0, 90.0, 0, 0]], requires_grad=True)
    kept = KLTarget(torch.tensor([[0, 90.0, 0, 0]] * 2), weight, torch.ones(2))
    found = head_loss(hidden, weight, torch.tensor([0, 0]), torch.ones(2), BOUNDED, kept)
    found.total.backward()
    assert torch.isfinite(found.total) and torch.isfinite(hidden.grad).all()
    np.testing.assert_allclose(found.divergence, [90.0, 0.0], atol=1e-5)


# The task: a tiny model, two streams, against plain logits.


def corpus(seed, lengths):
    random = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return random.integers(1, 50, starts[-1]), starts


def blends(learned=None):
    forget = WholePacker(*corpus(0, [20, 9, 5, 30, 12, 31, 7]), 32, 0, learned)
    replay = CutPacker(*corpus(1, [40, 32, 25, 44, 60, 31]), 32, 0)
    return Blend([forget]), Blend([replay])


@pytest.fixture
def pair(tmp_path):
    """A model and the original, which differs a little, as saved and as modules."""
    from transformers import AutoModelForCausalLM

    from synthtools.training.architectures import configuration

    torch.manual_seed(0)
    config = configuration("llama-tiny", 50, 32, 0, 0)
    found = []
    for name in ("original", "model"):
        model = AutoModelForCausalLM.from_config(config)
        if found:
            model.load_state_dict(found[0].state_dict())
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.02 * torch.randn_like(parameter))
        model.save_pretrained(tmp_path / name)
        found.append(model)
    return tmp_path


class Tokenizer:
    bos_token_id = eos_token_id = 0

    def __len__(self):
        return 50


def task_of(pair, name, *, lora=None, weights=None, reverse=False, micro=3, learned=None):
    built = models.build(StartModel(None, str(pair / "model")), Tokenizer(), 32, lora, 0)
    root = ModelWithHead(built.model, False)
    frozen = FrozenModel(
        ModelWithHead(models.frozen(ModelName(str(pair / "original")), False), False)
    )
    if lora is not None:
        frozen = FrozenModel(root, lambda: adapters_off(root))
    how = unlearn_loss(name, weights, None, 0.0, reverse)
    forget, replay = blends(learned)
    streams = [RowStream(FORGET, forget, 3)] * bool(how.weights.forget)
    streams += [RowStream(REPLAY, replay, 4)] * bool(how.weights.replay or how.weights.kl)
    return UnlearnTask(root, frozen, how, streams, micro, ALONE, paired=True)


def plain_loss(pair, name, weights, reverse, learned=None):
    """The loss of step 1 from full logits in float64, document by document."""
    from transformers import AutoModelForCausalLM

    model, original = (
        AutoModelForCausalLM.from_pretrained(pair / part, dtype=torch.float64)
        for part in ("model", "original")
    )

    def log_ps(net, tokens):
        return log_softmax(net(torch.from_numpy(tokens)[None].long()).logits[0, :-1], 1)

    def pieces(batch):
        for row in range(len(batch.tokens)):
            starts = [*np.flatnonzero(batch.positions[row] == 0), batch.tokens.shape[1]]
            for start, end in zip(starts[:-1], starts[1:], strict=True):
                where = np.flatnonzero(batch.labels[row, start:end] != IGNORED)
                if len(where):
                    tokens = np.append(
                        batch.tokens[row, start : start + where[-1] + 1],
                        batch.labels[row, start + where[-1]],
                    )
                    yield tokens, torch.from_numpy(where)

    forget, replay = blends(learned)
    terms = dict.fromkeys(Weights._fields, torch.zeros((), dtype=torch.float64))
    per_token, per_document, kls, nlls = [], [], [], []
    for tokens, where in pieces(forget.batch(1, 3)):
        labels = torch.from_numpy(tokens[1:]).long()[:, None]
        log_p = log_ps(model, tokens).gather(1, labels)[where, 0]
        with torch.no_grad():
            log_q = log_ps(original, tokens).gather(1, labels)[where, 0]
        if name in ("npo", "simnpo"):
            p, q, n = log_p.sum(), log_q.sum(), len(where)
            per_document.append(
                20 * softplus(0.1 * (p - q)) if name == "npo" else 2 / 4.5 * softplus(4.5 * p / n)
            )
        elif name == "bounded":
            per_token.append(-torch.log1p(-log_p.exp()))
        elif name == "wga":
            per_token.append(log_p.exp().detach() * log_p)
        elif name == "taskvector":
            per_token.append(-log_p)
        elif name == "undial":
            with torch.no_grad():
                lowered = log_ps(original, tokens)
                lowered[torch.arange(len(labels)), labels[:, 0]] -= 10.0
                goal = log_softmax(lowered, 1)[where]
            per_token.append((goal.exp() * (goal - log_ps(model, tokens)[where])).sum(1))
        else:
            per_token.append(log_p)
    if weights.forget:
        terms["forget"] = (
            torch.stack(per_document).mean() if per_document else torch.cat(per_token).mean()
        )
    for tokens, where in pieces(replay.batch(1, 4)):
        labels = torch.from_numpy(tokens[1:]).long()[:, None]
        p = log_ps(model, tokens)
        with torch.no_grad():
            q = log_ps(original, tokens)
        nlls.append(-p.gather(1, labels)[where, 0])
        a, b = (p, q) if reverse else (q, p)
        kls.append((a.exp() * (a - b)).sum(1)[where])
    terms["replay"], terms["kl"] = torch.cat(nlls).mean(), torch.cat(kls).mean()
    loss = sum(weight * terms[term] for term, weight in weights._asdict().items())
    loss.backward()
    return loss, terms, dict(model.named_parameters())


@pytest.mark.parametrize("reverse", [False, True])
# Those of documents in pairs and of hidden states have tests of their own.
@pytest.mark.parametrize("name", [n for n in METHODS if n != "rmu" and not METHODS[n].pairs])
def test_a_step_equals_plain_logits(pair, name, reverse):
    weights = METHODS[name].weights._replace(kl=0.7) if reverse else METHODS[name].weights
    if name == "taskvector":  # which has no other term
        weights = METHODS[name].weights
    if weights.forget:  # large enough to be seen beside the others
        weights = weights._replace(forget=1.0)
    loss, terms, parameters = plain_loss(pair, name, weights, reverse)
    task = task_of(pair, name, weights=weights, reverse=reverse)
    sums = torch.zeros(len(task.names), 2, dtype=torch.float64)
    for micro in task.micro_batches(1):
        total, seen = task.loss(micro)
        total.backward()
        sums += seen
    means = dict(zip(task.names, (sums[:, 0] / sums[:, 1].clamp(min=1)).tolist(), strict=True))
    assert means["loss"] == pytest.approx(loss.item(), rel=2e-6, abs=2e-6)
    told = {"forget": "forget_loss", "replay": "replay_nll", "kl": "kl"}
    for term in task.terms:
        assert means[told[term]] == pytest.approx(terms[term].item(), rel=4e-6, abs=2e-6)
    for key, parameter in task.root.model.named_parameters():
        other = parameters[key].grad
        apart = (parameter.grad.double() - other).abs().max()
        assert apart <= 2e-5 * max(other.abs().max(), 1e-3), key


def float64_models(pair):
    from transformers import AutoModelForCausalLM

    return [
        AutoModelForCausalLM.from_pretrained(pair / part, dtype=torch.float64)
        for part in ("model", "original")
    ]


def gradients_of(task, step=1):
    """The loss of a step, its numbers, and the gradients by name."""
    sums = 0
    for micro in task.micro_batches(step):
        total, seen = task.loss(micro)
        total.backward()
        sums = sums + seen
    means = dict(zip(task.names, (sums[:, 0] / sums[:, 1].clamp(min=1)).tolist(), strict=True))
    return means, {n: p.grad for n, p in task.root.model.named_parameters() if p.requires_grad}


def assert_equal_gradients(ours, theirs):
    for name, gradient in ours.items():
        other = theirs[name].grad
        apart = (gradient.double() - other).abs().max()
        assert apart <= 2e-5 * max(other.abs().max(), 1e-3), name


def test_preference_pairs_equal_plain_logits(pair):
    """Rows of pairs: each text on its own, answers alone, against float64 text by text."""
    random = np.random.default_rng(3)
    texts = [random.integers(1, 50, n) for n in (7, 9, 12, 6, 10, 5, 8, 8)]
    prompts = [3, 3, 5, 5, 2, 2, 4, 4]  # of each pair the same number of tokens
    learned = [
        (np.arange(len(t)) >= n).astype(np.uint8) for t, n in zip(texts, prompts, strict=True)
    ]
    for second in learned[1::2]:
        second[0] = SECOND
    starts = np.cumsum(
        [0, *(len(a) + len(b) for a, b in zip(texts[::2], texts[1::2], strict=True))]
    )
    packer = WholePacker(np.concatenate(texts), starts, 32, 0, np.concatenate(learned))
    built = models.build(StartModel(None, str(pair / "model")), Tokenizer(), 32, None, 0)
    root = ModelWithHead(built.model, False)
    frozen = FrozenModel(
        ModelWithHead(models.frozen(ModelName(str(pair / "original")), False), False)
    )
    how = unlearn_loss("dpo", Weights(1.0, 0.0, 0.0), 0.2, 0.0, False)
    task = UnlearnTask(
        root, frozen, how, [RowStream(FORGET, Blend([packer]), packer.rows)], 1, ALONE
    )
    means, ours = gradients_of(task, 0)

    model, original = float64_models(pair)

    def log_pi(net, tokens, prompt):
        log_p = log_softmax(net(torch.from_numpy(tokens)[None]).logits[0, :-1], 1)
        labels = torch.from_numpy(tokens[1:])[:, None]
        return log_p.gather(1, labels)[max(0, prompt - 1) :, 0]

    losses, nlls = [], []
    for number in range(0, len(texts), 2):
        worse, better = texts[number : number + 2]
        n = prompts[number]
        with torch.no_grad():
            kept = [log_pi(original, t, n).sum() for t in (worse, better)]
        own = [log_pi(model, t, n) for t in (worse, better)]
        margin = (own[1].sum() - kept[1]) - (own[0].sum() - kept[0])
        losses.append(-2 / 0.2 * torch.log(torch.sigmoid(0.2 * margin)))
        nlls.append(-own[0])
    loss = torch.stack(losses).mean()
    loss.backward()
    assert means["forget_loss"] == means["loss"] == pytest.approx(loss.item(), rel=2e-6)
    # What is reported as forgotten are the answers to forget alone.
    assert means["forget_nll"] == pytest.approx(torch.cat(nlls).mean().item(), rel=2e-6)
    assert_equal_gradients(ours, dict(model.named_parameters()))
    joined = Corpus(np.concatenate(texts), starts, np.concatenate(learned), {})
    alone = first_texts(joined)
    assert (alone.tokens == np.concatenate(texts[::2])).all()
    assert (np.diff(alone.starts) == [len(t) for t in texts[::2]]).all()
    assert (alone.learned == np.concatenate(learned[::2])).all()


@pytest.mark.parametrize("layer", [0, 1])
def test_hidden_states_are_steered_as_in_float64(pair, layer):
    built = models.build(StartModel(None, str(pair / "model")), Tokenizer(), 32, None, 0)
    frozen = FrozenModel(
        ModelWithHead(models.frozen(ModelName(str(pair / "original")), False), False)
    )
    forget, replay = blends()
    streams = [RowStream(FORGET, forget, 3), RowStream(REPLAY, replay, 4)]
    how = unlearn_loss("rmu", Weights(1.0, 0.0, 3.0), 2.0, 0.0, False)
    root = ModelWithHead(built.model, False)
    task = SteeredTask(root, frozen, how, streams, 2, ALONE, True, layer=layer, seed=5)
    means, ours = gradients_of(task)

    model, original = float64_models(pair)
    direction = torch.rand(model.config.hidden_size, generator=torch.Generator().manual_seed(5))
    goal = 2.0 * direction.double() / direction.double().norm()

    def states(net, batch):
        for row in range(len(batch.tokens)):
            starts = [*np.flatnonzero(batch.positions[row] == 0), batch.tokens.shape[1]]
            for start, end in zip(starts[:-1], starts[1:], strict=True):
                where = torch.from_numpy(batch.labels[row, start:end] != IGNORED)
                if where.any():
                    ids = torch.from_numpy(batch.tokens[row, start:end])[None]
                    hidden = net(ids, output_hidden_states=True).hidden_states[layer + 1][0]
                    yield hidden[where]

    for net in (model, original):  # the last state is given after it
        net.model.norm = torch.nn.Identity()
    steered = torch.cat(list(states(model, forget.batch(1, 3))))
    own, kept = (torch.cat(list(states(net, replay.batch(1, 4)))) for net in (model, original))
    of_forget = (steered - goal).square().mean()
    of_replay = (own - kept.detach()).square().mean()
    (of_forget + 3.0 * of_replay).backward()
    assert means["forget_loss"] == pytest.approx(of_forget.item(), rel=4e-6)
    assert means["distance"] == pytest.approx(of_replay.item(), rel=4e-6)
    assert means["loss"] == pytest.approx((of_forget + 3.0 * of_replay).item(), rel=4e-6)
    # The layer and what is before it, of the two before at most, and nothing else.
    assert {name.split(".")[2] for name in ours} == {str(n) for n in range(layer + 1)}
    assert_equal_gradients(ours, dict(model.named_parameters()))
    assert task.parts(means)["distance"] == means["distance"]


@pytest.mark.parametrize("lora", [None, Lora(4, 8.0, 0.0)])
def test_a_task_vector_is_turned_round(pair, lora):
    task = task_of(pair, "taskvector", lora=lora)
    root, original = task.root, task.original
    with torch.no_grad():
        for name, parameter in root.named_parameters():
            if lora is None or "lora_B" in name:
                parameter.add_(torch.randn_like(parameter) * 0.01)
    layers = [m for m in root.modules() if hasattr(m, "lora_A")]
    if lora is None:
        before = original.parameters()
        expected = [before[n] - 0.5 * (p - before[n]) for n, p in root.named_parameters()]
    else:
        expected = [-0.5 * m.get_delta_weight("default") for m in layers]
    expected = [value.detach().clone() for value in expected]
    negated(root, original, 0.5)
    ours = (
        [p for _, p in root.named_parameters()]
        if lora is None
        else [m.get_delta_weight("default") for m in layers]
    )
    for mine, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine.detach(), other)


def test_pairs_become_two_texts_of_half_a_row(tokenizer):
    pairs = [
        AnswerPair("What is it?", "It is this.", "I don't know."),
        AnswerPair("Q" * 300, "a", "b"),
    ]
    plain = tokenized_rows.pairs(tokenizer, 64, tokenized_rows.answered(tokenizer, True)).encode
    found, refused = plain(pairs)
    assert isinstance(refused, RefusedDocument) and "--forget-context" in refused.reason
    texts = text_encoder(tokenizer)(["What is it?\n\nIt is this.", "What is it?\n\nI don't know."])
    assert (found.ids == np.concatenate([t.ids for t in texts])).all()
    assert np.flatnonzero(found.learned == SECOND).tolist() == [len(texts[0].ids)]
    said = tokenizer.decode(found.ids[found.learned == 1], skip_special_tokens=True)
    assert [part.strip() for part in said.split(".")[:2]] == ["It is this", "I don't know"]
    tokenizer = copy.deepcopy(tokenizer)  # which gets a template
    chat = tokenized_rows.pairs(
        tokenizer, 256, tokenized_rows.conversations(tokenizer, 256, False, lambda line: None)
    )
    (written,) = chat.encode(pairs[:1])
    (alone,) = conversation_encoder(tokenizer, 256, False)(
        [
            [
                {"role": "user", "content": "What is it?"},
                {"role": "assistant", "content": "It is this."},
            ]
        ]
    )
    assert (written.ids[: len(alone.ids)] == alone.ids).all()
    assert (written.learned[: len(alone.ids)] == alone.learned).all()


def test_one_term_alone_is_its_part(pair):
    task = task_of(pair, "bounded", weights=Weights(0.5, 1.0, 1.0))

    def gradient(only=None):
        task.root.zero_grad()
        for micro in task.micro_batches(0):
            if only is None or only in micro.terms:
                task.loss(micro, only)[0].backward()
        return torch.cat([p.grad.flatten() for p in task.root.parameters()])

    parts = [gradient(term) for term in task.terms]
    torch.testing.assert_close(sum(parts), gradient(), rtol=1e-4, atol=1e-6)
    assert all(part.norm() > 0 for part in parts)


def test_what_is_masked_does_not_count(pair):
    tokens, _ = corpus(0, [20, 9, 5, 30, 12, 31, 7])
    learned = (np.arange(len(tokens)) % 3 > 0).astype(np.uint8)
    weights = Weights(1.0, 1.0, 0.0)
    loss, _, _ = plain_loss(pair, "bounded", weights, False, learned)
    task = task_of(pair, "bounded", weights=weights, learned=learned)
    seen = sum(task.loss(micro)[1] for micro in task.micro_batches(1))
    assert seen[0, 0] / seen[0, 1] == pytest.approx(loss.item(), rel=2e-6)
    # Half the micro-batches, the same step.
    small = task_of(pair, "bounded", weights=weights, learned=learned, micro=1)
    again = sum(small.loss(micro)[1] for micro in small.micro_batches(1))
    torch.testing.assert_close(again, seen, rtol=1e-6, atol=1e-6)


def test_the_original_of_adapters_is_the_model_without_them(pair):
    task = task_of(pair, "bounded", lora=Lora(4, 8.0, 0.0))
    (micro, *_) = [m for m in task.micro_batches(0) if "kl" in m.terms]

    def seen():
        found = task.loss(micro)[1]
        return (found[:, 0] / found[:, 1].clamp(min=1)).tolist()

    before = dict(zip(task.names, seen(), strict=True))
    assert before["kl"] == pytest.approx(0, abs=1e-6)
    assert task.parts({})["drift"] == 0
    with torch.no_grad():
        for name, parameter in task.root.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.05)
    after = dict(zip(task.names, seen(), strict=True))
    assert after["kl"] > 1e-3 and after["original_nll"] == pytest.approx(before["original_nll"])
    # The distance is that of the products, found without them.
    layers = [m for m in task.root.modules() if hasattr(m, "lora_A")]
    squares = sum(float(m.get_delta_weight("default").detach().square().sum()) for m in layers)
    base = [p for n, p in task.root.named_parameters() if "lora_" not in n]
    norm = math.sqrt(sum(float(p.detach().double().square().sum()) for p in base))
    assert task.parts({})["drift"] == pytest.approx(math.sqrt(squares) / norm, rel=1e-5)
    assert all(p.requires_grad for n, p in task.root.named_parameters() if "lora_" in n)


def test_the_distance_of_all_weights(pair):
    task = task_of(pair, "bounded")
    ours, theirs = (
        torch.cat([p.detach().flatten() for p in m.parameters()])
        for m in (task.root, models.frozen(ModelName(str(pair / "original")), False))
    )
    expected = float((ours - theirs).norm() / theirs.norm())
    assert task.parts({})["drift"] == pytest.approx(expected, rel=1e-5)


def test_both_models_on_the_same_documents(pair):
    from transformers import AutoModelForCausalLM

    task = task_of(pair, "bounded")
    frozen = FrozenModel(
        ModelWithHead(models.frozen(ModelName(str(pair / "original")), False), False)
    )
    lengths = [20, 9, 5, 30, 12]
    tokens, starts = corpus(0, lengths)
    surfaces = [f"<{n}>".encode() for n in range(50)]
    told = []
    found = compared(
        task.root,
        frozen,
        WholePacker(tokens, starts, 32, 0),
        10**6,
        2,
        ALONE,
        surfaces,
        lambda *moved: told.append(moved),
    )
    # It moves by batches, and ends with all tokens.
    assert len(told) > 1 and told[-1] == (found["tokens"], 1.0) and told == sorted(told)
    log_ps = []
    for part in ("original", "model"):
        net = AutoModelForCausalLM.from_pretrained(pair / part, dtype=torch.float64)
        with torch.no_grad():
            log_ps.append(
                [
                    log_softmax(net(torch.from_numpy(tokens[a:b])[None]).logits[0, :-1], 1)
                    for a, b in zip(starts[:-1], starts[1:], strict=True)
                ]
            )
    labels = [
        torch.from_numpy(tokens[a + 1 : b])[:, None]
        for a, b in zip(starts[:-1], starts[1:], strict=True)
    ]
    assert found["tokens"] == sum(lengths) - 5 and found["documents"] == 5
    for when, model in zip(("before", "after"), log_ps, strict=True):
        nll = [-p.gather(1, y)[:, 0] for p, y in zip(model, labels, strict=True)]
        assert found["perplexity"][when] == pytest.approx(math.exp(torch.cat(nll).mean()), rel=1e-5)
        own = np.exp([float(values.mean()) for values in nll])
        ends = found["document_perplexity"][when]
        assert (ends[0], ends[-1]) == pytest.approx((own.min(), own.max()), rel=1e-5)
        every = torch.cat(model)
        assert found["entropy"][when] == pytest.approx(float(-(every.exp() * every).sum(1).mean()))
        expected = every.exp().mean(0)
        for entry in [*found["fallen"], *found["risen"]]:
            assert entry[when] == pytest.approx(float(expected[entry["id"]]), rel=1e-5)
            assert entry["token"] == f"<{entry['id']}>"
    q, p = (torch.cat(model) for model in log_ps)
    assert found["kl"] == pytest.approx(float((q.exp() * (q - p)).sum(1).mean()), rel=1e-4)
    assert all(e["after"] < e["before"] for e in found["fallen"])
    assert all(e["after"] > e["before"] for e in found["risen"])


def step(number, **parts):
    return Step(number, 1.0, 0.0, 0.0, False, 0, 0, 0, 1.0, parts, None)


def test_a_rule_looks_at_the_mean_of_ten_steps():
    rules = StopRules([StopRule("kl", 0.5)])
    assert not any(rules(step(n, kl=0.4)) for n in range(1, 10))
    assert not rules(step(10, kl=0.9))  # one far value is no reason
    assert rules(step(11, kl=1.5)) and "kl reached 0.5" in rules.reason
    again = StopRules([StopRule("kl", 0.5)])
    again.begin([{"kl": 0.4}] * 9 + [{"kl": 0.9}])
    assert again(step(11, kl=1.5))


def test_an_answer_is_told_from_its_prompt(tokenizer):
    text, answer = "A text.", PlainDocument("What is it?", "It is this.")
    encode = answer_encoder(tokenizer, True)
    plain, asked, empty = encode(
        [PlainDocument(None, text), answer, PlainDocument("Only a prompt.", "")]
    )
    assert (plain.ids == text_encoder(tokenizer)([text])[0].ids).all()
    assert plain.learned[1:].all()
    whole = text_encoder(tokenizer)(["What is it?\n\nIt is this."])[0]
    assert (asked.ids == whole.ids).all()
    assert tokenizer.decode(asked.ids[asked.learned][:-1]).strip() == "It is this."
    assert empty.learned.sum() == 1  # that the answer ends
    everything = answer_encoder(tokenizer, False)([answer])[0]
    assert everything.learned is None and (everything.ids == asked.ids).all()


@pytest.mark.parametrize(
    "arguments, word",
    [
        (("bounded", None, 0.5, 0.0), "^--beta: not a parameter of bounded"),
        (("npo", None, None, 0.5), "^--margin: not a parameter of npo"),
        (("ga", Weights(0.0, 0.0, 0.0), None, 0.0), "at least one must be above 0"),
        (("refine", Weights(1.0, 1.0, 0.0), None, 0.0), "refine forgets nothing"),
        (("rmu", Weights(1.0, 1.0, 1.0), None, 0.0), "no cross entropy"),
        (("taskvector", Weights(1.0, 1.0, 0.0), None, 0.0), "on forget alone"),
    ],
)
def test_numbers_that_go_with_no_method_are_refused(arguments, word):
    with pytest.raises(UsageError, match=word):
        unlearn_loss(*arguments, False)
