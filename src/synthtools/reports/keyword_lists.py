"""Words and phrases that distinguish corpora, as lists, tables and bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NotRequired, TypedDict

from synthtools.reports.document import cut, number
from synthtools.reports.figures.chart import Column, Panel, Series, Table, table_of

KINDS = {
    "word": "word", "two_words": "two words", "three_words": "three words", "opening": "opens sentences",
}  # fmt: skip
_SHOWN = 12
_DRAWN = 18
_TABLED = 30
_TEXT = 28


class Keyword(TypedDict):
    """A word or phrase that is more frequent in one of two corpora: in the other if z is above 0.

    Pairs are (reference, other): ``per_million`` words, ``tokens``, ``documents`` that contain it, and by how much
    these are ``too_low_by`` at most. ``p`` is corrected over all keywords. An example is the text before it, the
    keyword, and the text after it.
    """

    kind: str
    text: str
    z: float
    z_documents: float
    log_odds: float
    p: float
    per_million: list[float]
    tokens: list[int]
    documents: list[int]
    too_low_by: list[int]
    examples: NotRequired[list[list[str]]]


class KeywordComparison(TypedDict):
    reference: str
    other: str
    documents: list[int]
    words: list[int]
    level: float
    keywords: list[Keyword]


def strongest(comparison: KeywordComparison, sign: int, most: int) -> list[Keyword]:
    """Significant keywords of one side (-1 the reference, 1 the other), the strongest first: up to half words, a
    third phrases, and a sixth openings, none a part of another of its kind."""
    keywords, level = comparison["keywords"], comparison["level"]
    claimed = [one for one in keywords if one["p"] <= level and sign * one["z"] > 0]
    claimed.sort(key=lambda one: (-strength(one), one["text"]))
    shown: list[Keyword] = []
    for kinds, room in (
        (("word",), most // 2),
        (("two_words", "three_words"), most // 3),
        (("opening",), most // 6),
    ):
        kept: list[str] = []
        for one in claimed:
            text = f" {one['text']} "
            inside = any(text in other or other in text for other in kept)
            if one["kind"] in kinds and len(kept) < room and not inside:
                kept.append(text)
                shown.append(one)
    return shown


def _label(one: Keyword) -> str:
    """Its words; capitalised if they open sentences."""
    text = one["text"]
    return text[:1].upper() + text[1:] + " …" if one["kind"] == "opening" else text


def strength(one: Keyword) -> float:
    """The smaller z, of tokens and of documents."""
    return min(abs(one["z"]), abs(one["z_documents"]))


def _sides(comparison: KeywordComparison, most: int) -> Iterator[tuple[str, str, list[Keyword]]]:
    reference, other = comparison["reference"], comparison["other"]
    yield reference, other, strongest(comparison, -1, most)
    yield other, reference, strongest(comparison, 1, most)


def lines(comparisons: Sequence[KeywordComparison]) -> list[str]:
    """For each comparison, the keywords of each side."""
    lines: list[str] = []
    for comparison in comparisons:
        documents = comparison["documents"]
        for name, beside, keywords in _sides(comparison, _SHOWN):
            heading = f"{cut(name, 30)} more than {cut(beside, 30)}"
            if not keywords:
                level = f"{100 * comparison['level']:g} %, all together"
                lines += ["", f"{heading}: no word or phrase ({level})"]
                continue
            of = f"documents of {number(documents[0])} and {number(documents[1])}"
            lines += ["", heading, f"{'':<{_TEXT}}  {'z':>6}  {of}, per million words"]
            for one in keywords:
                counts = " ".join(f"{number(n):>7}" for n in one["documents"])
                rates = " ".join(f"{number(round(rate)):>8}" for rate in one["per_million"])
                lines.append(
                    f"{cut(_label(one), _TEXT):<{_TEXT}}  {strength(one):>6.1f}  {counts} {rates}"
                )
    return lines


def panels(comparisons: Sequence[KeywordComparison]) -> list[Panel]:
    """Bars by z, one panel per side."""
    return [
        Panel(
            f"More in {name}",
            "z (the smaller of tokens and documents)",
            "",
            [Series(name, [strength(one) for one in keywords], form="named")],
            names=[_label(one) for one in keywords],
            from_zero=True,
            note=f"than in {beside}",
        )
        for comparison in comparisons
        for name, beside, keywords in _sides(comparison, _DRAWN)
        if keywords
    ]


def finding(comparisons: Sequence[KeywordComparison]) -> str:
    """The strongest words on both sides of the first comparison, in words."""
    return "; ".join(
        f"more in {name}: {', '.join(one['text'] for one in keywords[:5])}"
        for comparison in comparisons[:1]
        for name, _, keywords in _sides(comparison, _SHOWN)
        if keywords
    )


def tables(comparisons: Sequence[KeywordComparison]) -> list[Table]:
    """Significant keywords with their numbers and an example."""
    columns: list[Column] = [
        ("", "text"),
        ("", lambda one: KINDS[one["kind"]]),
        ("z", "z"),
        ("z of documents", "z_documents"),
        ("p (corrected)", "p"),
        *(
            (f"{count}, {side}", lambda one, at=at, key=key: one[key][at])
            for count, key in (("documents", "documents"), ("per million", "per_million"))
            for at, side in ((0, "reference"), (1, "other"))
        ),
        ("example", lambda one: "".join(one["examples"][0]) if one.get("examples") else ""),
    ]
    return [
        table_of(f"{name} more than {beside}", keywords, columns)
        for comparison in comparisons
        for name, beside, keywords in _sides(comparison, _TABLED)
        if keywords
    ]
