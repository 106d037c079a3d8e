"""Form of texts: a page counted by hand, and plain expressions on random text."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel_reference as reference
from synthtools.measure.form import MEASURES, form_of
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
