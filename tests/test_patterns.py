"""Patterns that meet text of models and records: linear, and still what they were."""

import ast
import random
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults.hostile import patterns

from synthtools.cli import quantities
from synthtools.curate import error_extrapolation
from synthtools.curate.self_instruct import SelfInstruct
from synthtools.evaluate import followbench_rules, ifeval
from synthtools.records import field_paths

ROOT = Path(__file__).resolve().parent.parent / "src" / "synthtools"


def test_time_grows_as_the_text_does():
    assert len(patterns.HOSTILE) == 200
    assert not list(patterns.slow(step=25))


def test_what_is_not_linear_is_found():
    quadratic = re.compile(r"\s*(.*?)\s*=", re.DOTALL)
    assert patterns.grows(quadratic.match, ("a", "!"), " ") > patterns.TOO_MUCH
    linear = re.compile(r"\s|a")
    found = patterns.grows(lambda t: [linear.findall(t) for _ in range(9)], ("a", "!"), " ")
    assert found is not None and found < patterns.TOO_MUCH


def _uses_patterns(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "re"
        and node.attr not in ("Match", "Pattern", "error", "escape")
        for node in ast.walk(tree)
    )


def test_every_module_with_patterns_is_tried():
    found = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in ROOT.rglob("*.py")
        if _uses_patterns(path)
    }
    tried = set(patterns.uses()) | set(patterns.EXEMPT)
    assert found <= tried, f"add to faults/hostile/patterns.py: {sorted(found - tried)}"


def _random(alphabet, count=3000, longest=14):
    draw = random.Random(7)
    for _ in range(count):
        yield "".join(draw.choices(alphabet, k=draw.randrange(longest)))


def _rule(name, bound):
    """How many a rule counts: the largest bound that it finds kept."""
    rule = ifeval.RULES[f"detectable_{name}"]
    return lambda text: max(n for n in range(20) if n == 0 or rule(text, **{bound: n}))


def _number_of_bullets(text):
    rule = ifeval.RULES["detectable_format:number_bullet_lists"]
    return next(n for n in range(30) if rule(text, num_bullets=n))


def _plain_pair(text):
    found = re.search(r"Question\s*:\s*(.+?)\s*Answer\s*:\s*(.+)", text, re.IGNORECASE | re.DOTALL)
    pair = (found[1].strip(), found[2].strip()) if found else ("", "")
    return pair if all(pair) else None


def _quantity(text):
    return quantities._FORM.fullmatch(text.replace("_", "").replace(",", "").strip()) is not None


def _plain_conditions(text):
    condition = re.compile(
        r'\s*(?:"(?P<quoted_name>(?:[^"\\]|\\.)*)"|(?P<name>[^"=,\s][^"=,]*?))\s*='
        r'\s*(?:"(?P<quoted_value>(?:[^"\\]|\\.)*)"|(?P<value>[^",]*?))\s*(?:,|$)'
    )
    found, at = [], 0
    while at < len(text) or not found or text[:at].rstrip().endswith(","):
        match = condition.match(text, at)
        if match is None:
            return None
        pairs = [match[f"quoted_{n}"] if match[n] is None else match[n] for n in ("name", "value")]
        found.append(tuple(pairs))
        at = match.end()
    return tuple(found)


# What is in the code, and what it says in its plainest form.
EQUAL = {
    "pair": (error_extrapolation.pair_in, _plain_pair, ["Question", "Answer", ":", " ", "\n", "a"]),
    "placeholders": (
        _rule("content:number_placeholders", "num_placeholders"),
        lambda t: len(re.findall(r"\[.*?\]", t)),
        "[]] a\n",
    ),
    "bullets": (
        _number_of_bullets,
        lambda t: sum(len(re.findall(p, t, re.MULTILINE)) for p in (r"^\s*\*[^*].*$", r"^\s*-.*$")),
        "*-\n a\r",
    ),
    "title": (
        ifeval.RULES["detectable_format:title"],
        lambda t: any(one.lstrip("<").rstrip(">").strip() for one in re.findall(r"<<[^\n]+>>", t)),
        "<<>> a\n",
    ),
    "examples": (
        lambda t: followbench_rules.kept("example", "", 0, 1, "a{answer}b\n{answer}ab{answer}", t),
        lambda t: bool(re.fullmatch("a.*b\n.*ab.*", t)),
        "ab\n",
    ),
    "emphasised points": (
        lambda t: followbench_rules.kept("format", "", 30, 2, "", "**" + t * 5),
        lambda t: len(re.findall(r"\*\*[\d].+?:", "**" + t * 5)) == 5,
        "*1::a\n",
    ),
    "conditions": (
        field_paths.conditions,
        _plain_conditions,
        'a=, "b\t',
    ),
    "quantity": (
        _quantity,
        lambda t: bool(
            re.fullmatch(
                r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([A-Za-z]*)\s*",
                t.replace("_", "").replace(",", ""),
            )
        ),
        "12. K,",
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_linear_patterns_find_what_the_plain_ones_do(name):
    ours, plain, alphabet = EQUAL[name]
    seen = set()
    for text in _random(alphabet):
        expected = plain(text)
        assert ours(text) == expected, repr(text)
        seen.add(str(expected))
    assert len(seen) > 1


def test_the_tasks_of_an_answer_are_what_they_were():
    plain = re.compile(r"^\s*(\d+)\s*[.):]\s+(.*\S)", re.MULTILINE)
    draw = random.Random(3)
    some = 0
    for _ in range(3000):
        text = "".join(draw.choices(["1", "9", ".", ":", " ", "\n", "a", "\t\r"], k=12))
        answer = SimpleNamespace(text=text, finish_reason="stop")
        found = SelfInstruct._read(SimpleNamespace(plain=False), answer)
        assert found == [task for _, task in plain.findall(text)], repr(text)
        some += bool(found)
    assert some > 100
    numbered = SimpleNamespace(text="1" * 5000 + ". a", finish_reason="stop")
    assert SelfInstruct._read(SimpleNamespace(plain=False), numbered) == []
