"""Losses and their gradients against float64, also where p → 0 and p → 1."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from synthtools.training.head import head_loss
from synthtools.training.objectives import CROSS_ENTROPY, Objective

BOUNDED = Objective(torch.nn.functional.softplus, torch.sigmoid)  # −ln(1 − p)


def plain(name, logits, labels):
    logprobs = torch.log_softmax(logits, 1).gather(1, labels[:, None])[:, 0]
    return -logprobs.sum() if name == "ce" else -torch.log1p(-logprobs.exp()).sum()


@pytest.mark.parametrize("name, objective", [("ce", CROSS_ENTROPY), ("bounded", BOUNDED)])
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_value_and_gradients_equal_float64(name, objective, scale):
    torch.manual_seed(0)
    hidden = torch.randn(50, 16) * scale
    weight = torch.randn(700, 16) * scale
    labels = torch.randint(0, 700, (50,))
    ours = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]
    head_loss(*ours, labels, objective).backward()
    theirs = [hidden.double().requires_grad_(), weight.double().requires_grad_()]
    expected = plain(name, theirs[0] @ theirs[1].T, labels)
    expected.backward()
    torch.testing.assert_close(
        head_loss(hidden, weight, labels, objective).double(),
        expected.detach(),
        rtol=1e-5,
        atol=1e-6,
    )
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad.double(), other.grad, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("margin", [40.0, 90.0, -90.0])
def test_certain_and_impossible_labels_stay_finite(margin):
    # One logit far above the others: float32 negative log-likelihood would round to 0.
    weight = torch.eye(4)
    hidden = torch.tensor([[margin, 0.0, 0.0, 0.0]], requires_grad=True)
    label = torch.tensor([0])
    value = head_loss(hidden, weight, label, CROSS_ENTROPY)
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
    whole = head_loss(hidden, weight, labels, CROSS_ENTROPY)
    monkeypatch.setattr("synthtools.training.head._CHUNK_NUMBERS", 700)  # 7 rows at a time
    torch.testing.assert_close(head_loss(hidden, weight, labels, CROSS_ENTROPY), whole)


@given(st.floats(-60, 60))
def test_slopes_are_the_derivatives(value):
    for objective in (CROSS_ENTROPY, BOUNDED):
        log_odds = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        objective.value(log_odds).backward()
        torch.testing.assert_close(log_odds.grad, objective.slope(log_odds.detach()))
