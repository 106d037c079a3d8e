"""The report of ``synth compare``: how corpora differ from a reference, by question."""

from __future__ import annotations

import html
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, get_type_hints

from synthtools.errors import near
from synthtools.measure.effects import Effect
from synthtools.measure.form import MEASURES
from synthtools.reports import compare_figures as figures
from synthtools.reports import compare_sentences as words
from synthtools.reports import document
from synthtools.reports.compare_sentences import shortened
from synthtools.reports.document import aligned, number, percent, wrapped
from synthtools.reports.figures.chart import Figure, Story

_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_FORM = re.compile(r"\s*([\w.]+)\s*(<=|>=|<|>)\s*(\S+)\s*")


@dataclass(frozen=True)
class GateCondition:
    """The name of a number, a comparison sign, and a bound."""

    text: str
    name: str
    sign: str
    bound: float

    @classmethod
    def of(cls, text: str, names: Sequence[str]) -> GateCondition:
        """Raises ValueError: it is not a condition on one of these names."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError("write NAME > NUMBER (or <, <=, >=)")
        name, sign, bound = match.groups()
        if name not in names:
            raise ValueError(f"no number {name}{near(name, names)}")
        try:
            return cls(text.strip(), name, sign, float(bound))
        except ValueError:
            raise ValueError(f"{bound} is not a number") from None

    def failure(self, numbers: Mapping[str, Any]) -> str | None:
        """Why a report fails: the condition holds or cannot be evaluated; None if it does not hold."""
        group, _, name = self.name.partition(".")
        value = numbers[group][name]
        if value is None:
            return f"{self.name} is not known (needed for {self.text})"
        holds = _SIGNS[self.sign](value, self.bound)
        return f"{self.name} is {value:.4g} ({self.text})" if holds else None


def failures(pairs: Sequence[Mapping[str, Any]], conditions: Sequence[GateCondition]) -> list[str]:
    """The conditions that hold for any pair of corpora, in words."""
    return [
        f"{pair['other']}: {why}"
        for pair in pairs
        for condition in conditions
        if (why := condition.failure(pair["numbers"])) is not None
    ]


_WIDTH = 96


class PerplexityNumbers(TypedDict):
    """Medians over equally many tokens; shares of the reference outside the other's percentiles."""

    ratio: float | None
    spread_ratio: float | None
    median_reference: float | None
    median_other: float | None
    plain_ratio: float | None
    below_p1: float | None
    above_p99: float | None


class DiversityNumbers(TypedDict):
    """Ratios of the other to the reference, over equally many documents of equally many words."""

    distinct_words: float | None
    mtld: float | None
    distinct_bigrams: float | None
    distinct_sentences: float | None


class KeywordNumbers(TypedDict):
    """The number of words and phrases whose shares of documents differ significantly."""

    more: int
    less: int


class DuplicateNumbers(TypedDict):
    """Shares of documents: copies of an earlier one of the same corpus; copies of one of the reference."""

    within_reference: float
    within_other: float
    between: float


class CoverageNumbers(TypedDict):
    """``hardly_entered``: the share of the reference in clusters that the other hardly enters."""

    clusters: int
    clusters_that_differ: int
    hardly_entered: float
    mauve: float | None
    mauve_expected: float | None


class ClassifierNumbers(TypedDict):
    auc: float | None


class ComparedNumbers(TypedDict):
    """The numbers available for a gate: ``perplexity.ratio`` and so on."""

    perplexity: PerplexityNumbers
    diversity: DiversityNumbers
    keywords: KeywordNumbers
    near_duplicates: DuplicateNumbers
    exact_duplicates: DuplicateNumbers
    coverage: CoverageNumbers
    form: dict[str, float | None]
    classifier: ClassifierNumbers


class CorpusAnswer(TypedDict):
    question: str
    differs: bool
    effects: list[Effect]
    further: dict[str, Any]
    sentence: NotRequired[str]


class ComparedPair(TypedDict):
    reference: str
    other: str
    numbers: ComparedNumbers
    answers: list[CorpusAnswer]
    common_words: float
    shared_ids: int
    shared_prompts: int
    remedies: NotRequired[list[dict[str, str]]]


class CorpusSize(TypedDict):
    """``longer``: documents that were scored only in part."""

    name: str
    path: str
    documents: int
    words: int
    bytes: int
    median_words: float
    sampled: int
    scored: int
    longer: int
    unscored: int
    opening: str
    opening_share: float


class CompareReport(document.BaseReport):
    """``matched``: words and tokens over which measures that depend on length are compared."""

    reference: str
    corpora: list[CorpusSize]
    matched: dict[str, int]
    level: float
    warnings: list[str]
    pairs: list[ComparedPair]
    histogram: dict[str, Any]
    map: dict[str, Any]
    examples: list[dict[str, Any]]


def gate_names() -> list[str]:
    """The names of the numbers available for a gate."""
    groups = get_type_hints(ComparedNumbers)
    names = [f"{g}.{n}" for g, kind in groups.items() for n in getattr(kind, "__annotations__", ())]
    return [*names, *(f"form.{name}" for name in MEASURES)]


def with_sentences(report: dict[str, Any]) -> dict[str, Any]:
    """The report with a sentence for each answer, and with warnings."""
    for pair in report["pairs"]:
        for answer in pair["answers"]:
            answer["sentence"] = words.sentence(answer, pair, report["matched"])
    return {**report, "warnings": warnings(report)}


def page(report: dict[str, Any]) -> str:
    from synthtools.reports import compare_page

    return compare_page.page(report)


class ShownReport(dict[str, Any]):
    """A report that notebooks show as its page."""

    def page(self) -> str:
        from synthtools.redaction import hidden

        return page(hidden(dict(self)))

    def _repr_html_(self) -> str:
        source = html.escape(self.page())
        size = 'width="100%" height="800"'
        return f'<iframe title="synth compare" srcdoc="{source}" {size}></iframe>'


def lines(report: CompareReport) -> list[str]:
    """The answers, as on the page, in at most 40 lines."""
    rows = [
        f"{one['name']}: {number(one['documents'])} documents, {number(one['words'])} words, "
        f"{number(one['scored'])} scored"
        for one in report["corpora"][:5]
    ]
    for warning in report["warnings"][:4]:
        rows += _item("!", warning)
    if len(report["pairs"]) > 1:
        table = figures.series_table(report)
        return [*rows, "", *aligned([table.head, *table.rows])][:40]
    for pair in report["pairs"]:
        for answer in pair["answers"]:
            rows += _item("≠" if answer["differs"] else "=", answer.get("sentence", ""))
        for remedy in pair.get("remedies", [])[:4]:
            rows += _item("→", f"{remedy['finding']}: {remedy['command']}")
    return rows if len(rows) <= 40 else [*rows[:39], "… (the page and the JSON have all)"]


def _item(mark: str, text: str) -> list[str]:
    first, *rest = wrapped(text, _WIDTH) or [""]
    return [f"{mark} {first}", *(f"  {line}" for line in rest)]


def figure(report: CompareReport) -> Figure:
    """Perplexities of all corpora, and the differences in form of the first."""
    names = [one["name"] for one in report["corpora"]]
    panels = [figures.histogram(report, names)] if report["histogram"]["edges"] else []
    for pair in report["pairs"][:1]:
        drawn = figures.pictures(report, pair)
        panels += [p for q in ("diversity", "form") if q in drawn for p in drawn[q].panels]
    return Figure(
        "Corpora, compared",
        panels,
        "Documents by perplexity over equally many tokens; differences with their intervals.",
        names,
        words.first(report["pairs"]),
    )


def story(report: CompareReport) -> Story:
    """Every answer, and every effect in a table."""
    sentences = [a.get("sentence", "") for pair in report["pairs"] for a in pair["answers"]]
    tables = [figures.series_table(report)] if len(report["pairs"]) > 1 else []
    tables += [figures.effects_table(pair, a) for pair in report["pairs"] for a in pair["answers"]]
    return Story("Corpora, compared", [*report["warnings"], *sentences], tables)


def warnings(report: Mapping[str, Any]) -> list[str]:
    """Caveats for readers of the answers."""
    texts = []
    corpora = report["corpora"]
    for one in corpora:
        name = one["name"]
        if one["documents"] < 100:
            texts.append(f"{name} has {one['documents']} documents: intervals are wide below 100.")
        if one["opening_share"] > 0.05 and one["documents"] >= 20:
            texts.append(
                f"{percent(one['opening_share'], '.3g')} of {name} begin with “{shortened(one['opening'], 100)}”. Such "
                "boilerplate alone distinguishes corpora."
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
        for kind in ("ids", "prompts"):
            if pair[f"shared_{kind}"]:
                texts.append(
                    f"{number(pair[f'shared_{kind}'])} documents of {one['name']} have {kind} that also "
                    f"occur in {first['name']}."
                )
        near = pair["numbers"]["near_duplicates"]["between"]
        if near:
            texts.append(
                f"{percent(near, '.3g')} of {one['name']} are near copies of documents of {first['name']}."
            )
    return texts
