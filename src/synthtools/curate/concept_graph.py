"""SynthLLM (arXiv 2503.19551): questions from a document, from its concepts, or from concepts shared by documents.

Concepts are in the form that a model writes for ``CONCEPTS``, "Topics: a; b" and "Concepts: c; d", or a list. The wording
of the prompts and the numbers of steps and concepts are [ours].
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from synthtools.curate.prompts import PromptBuilder, UnusableRecord, prompted, text_in
from synthtools.curate.reshaped_records import as_text
from synthtools.draws import lane_of, uniforms
from synthtools.errors import SynthError, parameter
from synthtools.records.added_column import Column
from synthtools.records.batch import MISSING, Batch, JsonBatch
from synthtools.records.jsonl import json_bytes
from synthtools.records.record_keys import ID_FIELD
from synthtools.records.rejects import Rejects

CONCEPTS = (
    'Read the text below and list what it is about. Answer in two lines: "Topics:" with one to three broad '
    'topics, then "Concepts:" with five to ten key concepts (methods, facts, terms) that a question could be '
    "about. Separate them by semicolons. Write the two lines alone."
)
_ONE_QUESTION = "Write one question that can be understood and answered without any text at hand. Write the question alone."
FROM_DOCUMENT = f"Take the text below as the source of a demanding question. {_ONE_QUESTION}"
_FROM_CONCEPTS = (
    f"Write a demanding question that joins these concepts: {{combination}}. Use the material below as background. "
    f"{_ONE_QUESTION}\n\n{{text}}"
)
STYLES = {"concepts": CONCEPTS, "synthllm-1": FROM_DOCUMENT}
_SHAPE = re.compile(r"^[^\w\n]*(topics|concepts)[^\w\n:]*:(.*)$", re.IGNORECASE | re.MULTILINE)
_LANE = lane_of("synthllm")
# Steps between topics, at most; steps between concepts; concepts of one document [ours].
_TOPIC_STEPS, _CONCEPT_STEPS, _OWN_CONCEPTS = 2, 3, 3
_REFERENCES = 2
_TOGETHER = 64


class DocumentConcepts(NamedTuple):
    """Topics and concepts of a document, in lower case, each once."""

    topics: list[str]
    concepts: list[str]


def concepts_in(value: Any) -> DocumentConcepts:
    """Topics and concepts from a model's text, or from a list of concepts. Raises UnusableRecord: there are no
    concepts."""
    names_by_kind: dict[str, list[str]] = {"topics": [], "concepts": []}
    if isinstance(value, list):
        names_by_kind["concepts"] = [one for one in value if isinstance(one, str)]
    elif isinstance(value, str):
        for kind, names in _SHAPE.findall(value):
            names_by_kind[kind.lower()] += names.split(";")
    clean = {
        kind: list(
            dict.fromkeys(filter(None, (" ".join(n.lower().split()).strip(" .*") for n in names)))
        )
        for kind, names in names_by_kind.items()
    }
    if not clean["concepts"]:
        raise UnusableRecord('holds no concepts (a list, or a line "Concepts: a; b")')
    return DocumentConcepts(**clean)


def own_combination(value: Any, seed: int) -> str:
    """A topic and some concepts of a document, drawn by the seed and the content."""
    document = concepts_in(value)
    known = int.from_bytes(blake2b(json_bytes(value), digest_size=8).digest(), "little")
    draws = uniforms(seed, known, 0, np.arange(len(document.concepts)), _LANE)
    order = np.argsort(draws, kind="stable")
    topic = int(uniforms(seed, known, 1, np.zeros(1, np.int64), _LANE)[0] * len(document.topics))
    names = [document.concepts[i] for i in order[:_OWN_CONCEPTS]]
    return "; ".join([*document.topics[topic : topic + 1], *names])


def prompts(field: str, concept_field: str, seed: int, system: str | None) -> PromptBuilder:
    """Level 2: a document and a combination of its concepts."""

    def build(record: dict[str, Any]) -> str:
        if concept_field not in record:
            raise UnusableRecord(
                f'no field "{concept_field}": {parameter("style", "concepts")} writes concepts, '
                f"{parameter('concept_field')} names another field"
            )
        combination = own_combination(record[concept_field], seed)
        return _FROM_CONCEPTS.format(combination=combination, text=text_in(record, field))

    return PromptBuilder((field,), build, system, optional=(concept_field,))


def with_combinations(batches: Iterable[Batch], concept_field: str, seed: int) -> Iterator[Batch]:
    """Adds the combination of concepts of each question."""
    for batch in batches:
        drawn = [own_combination(value, seed) for value in batch.column(concept_field)]
        yield batch.adding({"combination": Column("string", drawn)})


class ConceptGraph:
    """Concepts and topics of documents, connected if a document has both.

    The weight of an edge is log(f + ε), with f the number of documents with both, and steps are drawn by the softmax
    of weights: with probability proportional to f.

    Memory: the documents' texts, and about 100 bytes for each pair of concepts in the same document.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[bool, str], int] = {}  # of (is a topic, name)
        self._edges: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self._documents: defaultdict[int, list[int]] = defaultdict(list)
        self._sizes: list[int] = []
        self._texts: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, name: str, text: str, document: DocumentConcepts) -> None:
        """Takes a document."""
        named = [(True, topic) for topic in document.topics]
        named += [(False, concept) for concept in document.concepts]
        nodes = [self._numbers.setdefault(node, len(self._numbers)) for node in named]
        for one, other in combinations(nodes, 2):
            self._edges[one][other] += 1
            self._edges[other][one] += 1
        for node in nodes:
            self._documents[node].append(len(self._texts))
        self._sizes.append(len(nodes))
        self._texts.append((name, text))

    def walks(self, seed: int, count: int) -> Iterator[list[int]]:
        """Combinations: a topic drawn uniformly, one or two steps between topics, one to a concept, three between
        concepts; impossible steps are skipped. Without topics, walks begin at a concept."""
        names = list(self._numbers)
        topics = [node for node, (is_topic, _) in enumerate(names) if is_topic]
        for number in range(count):
            most = 2 + _TOPIC_STEPS + 1 + _CONCEPT_STEPS
            drawn = iter(uniforms(seed, number, 2, np.arange(most), _LANE).tolist())
            start = topics or list(range(len(names)))
            walk = [start[int(next(drawn) * len(start))]]
            steps = 1 + int(next(drawn) * _TOPIC_STEPS)
            kinds = [True] * (steps if topics else 0) + [False] * (bool(topics) + _CONCEPT_STEPS)
            for kind in kinds:
                ways = {
                    n: f
                    for n, f in self._edges[walk[-1]].items()
                    if names[n][0] is kind and n not in walk
                }
                if ways:
                    sums = np.cumsum(list(ways.values()))
                    at = np.searchsorted(sums, next(drawn) * sums[-1], side="right")
                    walk.append(list(ways)[int(at)])
            yield walk

    def references(self, walk: list[int]) -> list[int]:
        """The documents with the concepts most similar to a combination, by Jaccard index; ties go to the first."""
        shared = Counter(document for node in walk for document in self._documents[node])
        likeness = {d: n / (len(walk) + self._sizes[d] - n) for d, n in shared.items()}
        return sorted(likeness, key=lambda d: (-likeness[d], d))[:_REFERENCES]

    def records(self, seed: int, count: int) -> Iterator[Batch]:
        """New records: id, combination, documents (the names of its references) and prompt."""
        names = [name for _, name in self._numbers]
        made: list[dict[str, Any]] = []
        for number, walk in enumerate(self.walks(seed, count)):
            some = [self._texts[document] for document in self.references(walk)]
            combination = "; ".join(names[node] for node in walk)
            text = "\n\n".join(text for _, text in some)
            made.append(
                {
                    ID_FIELD: f"synthllm-{seed}-{number}",
                    "combination": combination,
                    "documents": [name for name, _ in some],
                    "prompt": _FROM_CONCEPTS.format(combination=combination, text=text),
                }
            )
            if len(made) == _TOGETHER or number + 1 == count:
                places = np.arange(number + 1 - len(made), number + 1)
                lines = [json_bytes(one) for one in made]
                yield JsonBatch("<concepts>", places + 1, places, lines=lines, parsed=made)
                made = []


def graph_of(batches: Iterable[Batch], builder: PromptBuilder, rejects: Rejects) -> ConceptGraph:
    """The graph of all records. ``builder``: of level 2, which rejects unusable records. Raises SynthError: all
    records are unusable."""
    graph = ConceptGraph()
    (field,), (concept_field,) = builder.fields, builder.optional
    for item in prompted(batches, builder, rejects):
        columns = (item.batch.column(name) for name in (ID_FIELD, field, concept_field))
        for index, (name, text, value) in enumerate(zip(*columns, strict=True)):
            fault = item.batch.fault(index, "")
            known = f"{fault.source}:{fault.number}" if name in (MISSING, None) else as_text(name)
            graph.add(known, text, concepts_in(value))
    if not len(graph):
        raise SynthError("no record lists concepts; have a model list them first")
    return graph
