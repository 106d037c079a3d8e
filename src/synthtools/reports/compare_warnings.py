"""What a reader of ``synth compare`` has to know before the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthtools.reports.compare_sentences import shortened
from synthtools.reports.document import number, percent


def warnings(report: Mapping[str, Any]) -> list[str]:
    """What a reader has to know before the answers."""
    texts = []
    corpora = report["corpora"]
    for one in corpora:
        name = one["name"]
        if one["documents"] < 100:
            texts.append(f"{name} has {one['documents']} documents: intervals are wide below 100.")
        if one["opening_share"] > 0.05 and one["documents"] >= 20:
            texts.append(
                f"{percent(one['opening_share'], '.3g')} of {name} begin alike: “{shortened(one['opening'], 100)}”. Such "
                "boilerplate alone tells corpora apart."
            )
        if one["unscored"]:
            texts.append(f"{name}: {one['unscored']} documents could not be scored.")
    longer = [
        f"{one['longer']} of {one['scored']} of {one['name']}" for one in corpora if one["longer"]
    ]
    if longer:
        texts.append(
            f"Only the first {report['matched']['scored']} tokens of a document are scored: {', '.join(longer)} "
            "are longer."
        )
    first = corpora[0]
    for one, pair in zip(corpora[1:], report["pairs"], strict=True):
        ratio = max(one["median_words"], 1) / max(first["median_words"], 1)
        if not 0.5 <= ratio <= 2:
            texts.append(
                f"Lengths differ: the median document has {number(one['median_words'])} words in "
                f"{one['name']}, {number(first['median_words'])} in {first['name']}."
            )
        if pair["common_words"] < 0.2:
            texts.append(
                f"{one['name']} and {first['name']} share few frequent words: are they of one language?"
            )
        for what in ("ids", "prompts"):
            if pair[f"shared_{what}"]:
                texts.append(
                    f"{number(pair[f'shared_{what}'])} documents of {one['name']} have {what} that "
                    f"{first['name']} has too."
                )
        near = pair["numbers"]["near_duplicates"]["between"]
        if near:
            texts.append(
                f"{percent(near, '.3g')} of {one['name']} are near copies of documents of {first['name']}."
            )
    return texts
