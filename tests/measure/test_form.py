"""Form of texts: a page counted by hand, plain expressions on random text, and differences by scipy."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import kernel_reference as reference
from synthtools.measure.form import MEASURES, cliffs_delta, differences, form_of
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.layout import COUNTS, layout_counts

PAGE = """# Two words

I'm sure. Is it? “Yes” (very), **bold** and `code`! He said: “Really?” Then
we   went; 3.5 miles — don’t ask... Why?!

- one #tag
* two
1. three
20) four
 1999. five
-- not an item
```
x
```
**Bold line**


日本語。本当？
"""
BY_HAND = {
    "paragraphs": 4, "lines": 14, "list_items": 4, "headings": 1, "bold": 2, "code": 2,
    # Two words | I'm sure | Is it | “Yes” … code | He said: Really | Then | we went … ask | Why | one | two |
    # three | four | 1999 | five | not an item | x | Bold line | 日本語 | 本当
    "sentences": 19, "questions": 4, "exclamations": 2, "commas": 1, "semicolons": 1, "colons": 1,
    "dashes": 1, "parentheses": 1, "quotations": 4, "first_person": 2, "contractions": 2, "numbers": 4,
}  # fmt: skip


def counted(text):
    return dict(zip(COUNTS, layout_counts(TextBuffer.of(["x", text, text]))[1].tolist()))


def test_a_page_counted_by_hand():
    found = counted(PAGE)
    assert {name: found[name] for name in BY_HAND} == BY_HAND
    assert found["words"] == len(reference.words(PAGE))
    numbers = form_of(TextBuffer.of(["", PAGE]))
    assert list(numbers) == list(MEASURES)
    assert numbers["questions"][1] == 4 / 19 and numbers["list_items"][1] == 4 / 14
    assert numbers["commas"][1] == pytest.approx(1000 / found["words"])
    assert numbers["words"][0] == 0 and np.isnan(numbers["commas"][0])


PARTS = [
    *("a", "I", "we", "1", "12", "#", "##", "-", "*", "**", "`", "```", ".", "?", "!", ")", "(")
]
PARTS += [
    ",",
    ";",
    ":",
    "—",
    '"',
    "”",
    "don't",
    "日",
    "。",
    " ",
    " ",
    "  ",
    "\n",
    "\n",
    "\n\n",
    "\t",
]


@settings(max_examples=400)
@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join))
def test_counts_are_those_of_plain_expressions(text):
    found = counted(text)
    lines = [line for line in text.split("\n") if line.strip()]
    words = reference.words(text)
    assert found["words"] == len(words)
    assert found["lines"] == len(lines)
    assert found["paragraphs"] == len([p for p in re.split(r"\n\s*\n", text) if p.strip()])
    assert found["headings"] == sum(
        bool(re.match(r"\s*#{1,6}\s", line + " ")) and bool(re.match(r"\s*#{1,6}[ \t]", line))
        for line in lines
    )
    assert found["bold"] == len(re.findall(r"\*{2,}", text)) // 2
    assert found["code"] == len(re.findall("`+", text)) // 2
    assert found["commas"] == text.count(",") and found["dashes"] == text.count("—")
    assert found["quotations"] == text.count('"') + text.count("”")
    assert found["first_person"] == sum(word in ("i", "we") for word in words)
    sentences = [
        part
        for line in text.split("\n")
        for part in re.split(
            r"(?<=[.?!])[\"”)]*\s+|(?<=。)", re.sub(r"^\s*\d{1,3}[.)][ \t]", " ", line)
        )
    ]
    assert found["sentences"] == sum(bool(reference.words(part)) for part in sentences)


def test_differences_are_those_of_scipy():
    draw = np.random.default_rng(0)
    left = {
        "a": draw.normal(size=60),
        "b": draw.integers(0, 3, 60).astype(float),
        "c": np.zeros(60),
    }
    right = {
        "a": draw.normal(0.8, 2, size=90),
        "b": draw.integers(0, 3, 90).astype(float),
        "c": np.zeros(90),
    }
    right["a"][0] = np.nan
    a, b, c = differences(left, right)
    kept = right["a"][1:]
    test = stats.mannwhitneyu(kept, left["a"])
    assert a["p"] == pytest.approx(test.pvalue) and a["p_holm"] == pytest.approx(2 * test.pvalue)
    assert a["delta"] == pytest.approx(2 * test.statistic / (89 * 60) - 1)
    pooled = np.sqrt((59 * left["a"].var(ddof=1) + 88 * kept.var(ddof=1)) / 147)
    assert a["d"] == pytest.approx((kept.mean() - left["a"].mean()) / pooled)
    assert a["documents"] == [60, 89] and a["means"][1] == pytest.approx(kept.mean())
    assert b["d_interval"][0] < 0 < b["d_interval"][1] and b["p_holm"] == pytest.approx(b["p"])
    assert c["means"] == [0, 0] and c["d"] is None and c["p"] is None and c["p_holm"] is None


def test_the_interval_of_delta_is_that_of_all_pairs():
    draw = np.random.default_rng(1)
    left, right = (
        np.sort(draw.integers(0, 9, 25)).astype(float),
        np.sort(draw.integers(2, 12, 30)).astype(float),
    )
    signs = np.sign(right[:, None] - left[None])
    delta, (n, m) = signs.mean(), (25, 30)
    rows, columns = signs.mean(axis=1), signs.mean(axis=0)
    spread = (
        n**2 * ((rows - delta) ** 2).sum()
        + m**2 * ((columns - delta) ** 2).sum()
        - ((signs - delta) ** 2).sum()
    ) / (n * m * (n - 1) * (m - 1))
    reach = 1.959964 * np.sqrt(spread) * np.sqrt((1 - delta**2) ** 2 + 1.959964**2 * spread)
    whole = 1 - delta**2 + 1.959964**2 * spread
    found, interval = cliffs_delta(left, right)
    assert found == pytest.approx(delta)
    assert interval == pytest.approx(
        [(delta - delta**3 + sign * reach) / whole for sign in (-1, 1)], rel=1e-5
    )
    assert cliffs_delta(left, right + 20) == (1, [pytest.approx(0.7336, abs=1e-4), 1])


def test_random_labels_differ_in_nothing(documents):
    draw = np.random.default_rng(2)
    pieces = [
        text[at : at + 700] for text in documents for at in range(0, min(len(text), 2800), 700)
    ]
    numbers = form_of(TextBuffer.of(pieces))
    claims, outside = 0, []
    for _ in range(100):
        order = draw.permutation(len(pieces))
        sides = [
            {name: v[part] for name, v in numbers.items()} for part in np.array_split(order, 2)
        ]
        rows = [row for row in differences(*sides) if row["p"] is not None]
        claims += any(row["p_holm"] <= 0.05 for row in rows)
        outside += [
            not i[0] <= 0 <= i[1]
            for row in rows
            for i in (row["d_interval"], row["delta_interval"])
        ]
    assert claims <= 5 and 0.02 < np.mean(outside) < 0.07
