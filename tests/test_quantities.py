"""Quantities as people write them."""

import pytest

from running import one_line, run
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


@pytest.mark.parametrize(
    "option, value, reason",
    [
        ("--shard-size", "abc", "not a quantity (examples: 1000, 100K, 8.4B, 512MB)"),
        ("--shard-size", "1.5", "must be a whole number of at least 1"),
        ("--shard", "3/x", "write it as i/n with 1 ≤ i ≤ n, such as 3/8"),
        ("--shard", "3/2", "write it as i/n with 1 ≤ i ≤ n, such as 3/8"),
        ("--nan", "x", "use keep, null or fail"),
    ],
)
def test_what_is_no_quantity_is_wrong_usage(option, value, reason, tmp_path):
    done = run("cat", "-", "-o", tmp_path / "out", option, value, input=b'{"a":1}\n')
    assert f"{option} {value}: {reason}" in one_line(done, 2)
    assert not list(tmp_path.iterdir())
