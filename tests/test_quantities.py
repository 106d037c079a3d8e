"""Quantities as people write them."""

import pytest

from synthtools.cli.quantities import named_number, named_path, span


@pytest.mark.parametrize(
    "text, value",
    [("0", 0), ("200", 200), ("1", 1), ("1.5K", 1500), ("3%", 0.03), ("0.03", 0.03), (" 50 ", 50)],
)
def test_a_span_is_steps_or_a_share(text, value):
    assert span(text) == pytest.approx(value) and (value < 1 or type(span(text)) is int)


@pytest.mark.parametrize("text", ["", "x", "-1", "-3%", "100%", "1.5", "nan", "inf", "3%%"])
def test_what_is_no_span_is_refused(text):
    with pytest.raises(ValueError):
        span(text)


def test_named_values():
    assert named_path("wiki=a=b.jsonl") == ("wiki", "a=b.jsonl")
    assert named_number("a=b=1e-3") == ("a=b", 0.001)
    for text in ("wiki", "=a", "wiki="):
        with pytest.raises(ValueError, match="NAME=PATH"):
            named_path(text)
    for text in ("kl", "=1", "kl=", "kl=x", "kl=nan", "kl=inf"):
        with pytest.raises(ValueError, match="NAME=NUMBER"):
            named_number(text)
