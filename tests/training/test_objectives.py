"""Losses and their gradients against float64, also where p → 0 and p → 1."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from synthtools.training.head import head_loss, head_odds
from synthtools.training.objectives import BOUNDED, CROSS_ENTROPY


def plain(name, logits, labels):
    logprobs = torch.log_softmax(logits, 1).gather(1, labels[:, None])[:, 0]
    return -logprobs if name == "ce" else -torch.log1p(-logprobs.exp())


@pytest.mark.parametrize("name, objective", [("ce", CROSS_ENTROPY), ("bounded", BOUNDED)])
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_value_and_gradients_equal_float64(name, objective, scale):
    torch.manual_seed(0)
    hidden = torch.randn(50, 16) * scale
    weight = torch.randn(700, 16) * scale
    labels = torch.randint(0, 700, (50,))
    ours = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]
    weights = torch.rand(50)
    total, odds, *_ = head_loss(*ours, labels, weights, objective)
    values = objective.value(odds)
    total.backward()
    theirs = [hidden.double().requires_grad_(), weight.double().requires_grad_()]
    expected = plain(name, theirs[0] @ theirs[1].T, labels)
    (expected * weights.double()).sum().backward()
    torch.testing.assert_close(values.double(), expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(total.detach(), (values * weights).sum())
    torch.testing.assert_close(head_odds(hidden, weight, labels), odds)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad.double(), other.grad, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("margin", [40.0, 90.0, -90.0])
def test_certain_and_impossible_labels_stay_finite(margin):
    # One logit far above the others: float32 negative log-likelihood would round to 0.
    weight = torch.eye(4)
    hidden = torch.tensor([[margin, 0.0, 0.0, 0.0]], requires_grad=True)
    label = torch.tensor([0])
    value = head_loss(hidden, weight, label, torch.ones(1), CROSS_ENTROPY)[0]
    value.backward()
    logits = torch.tensor([[margin, 0.0, 0.0, 0.0]], dtype=torch.float64)
    assert value.item() == pytest.approx(cross_entropy(logits, label).item(), rel=1e-6)
    assert torch.isfinite(hidden.grad).all()
    if margin > 0:
        assert value.item() > 0


def test_chunks_change_nothing(monkeypatch):
    torch.manual_seed(1)
    hidden, weight = torch.randn(33, 8), torch.randn(100, 8)
    labels = torch.randint(0, 100, (33,))
    ones = torch.ones(33)
    whole, *_ = head_loss(hidden, weight, labels, ones, CROSS_ENTROPY)
    monkeypatch.setattr("synthtools.training.head._CHUNK_NUMBERS", 700)  # 7 rows at a time
    torch.testing.assert_close(head_loss(hidden, weight, labels, ones, CROSS_ENTROPY)[0], whole)


@given(st.floats(-60, 60))
def test_slopes_are_the_derivatives(value):
    for objective in (CROSS_ENTROPY, BOUNDED):
        log_odds = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        objective.value(log_odds).backward()
        torch.testing.assert_close(log_odds.grad, objective.slope(log_odds.detach()))


def test_no_rows_are_no_loss():
    hidden = torch.zeros(0, 8, requires_grad=True)
    weight = torch.randn(20, 8, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    total, values, *_ = head_loss(hidden, weight, none, torch.zeros(0), CROSS_ENTROPY)
    total.backward()
    assert total.item() == 0 and len(values) == 0 and not weight.grad.any()
    assert len(head_odds(hidden, weight, none)) == 0
