"""``synth decontaminate``: items planted in records are found, and nothing else is."""

import json
import math

import numpy as np
import pytest

import synthtools
from running import synth

RANDOM = np.random.default_rng(0)
VOCABULARY = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(600)]


def text(count):
    return " ".join(RANDOM.choice(VOCABULARY, count))


ITEMS = [
    {"id": f"q{i}", "prompt": f"{text(30)} {i} 17 {text(10)}?", "answer": i} for i in range(40)
]
ITEMS.append({"id": "short", "prompt": "Too short to tell", "answer": 0})
PLANTS = {
    "verbatim": lambda q: q,
    "case": str.upper,
    "punctuation": lambda q: q.replace(" ", ", ").replace("?", "!"),
    "numbers": lambda q: q.replace("17", "2,500"),
    "spacing": lambda q: q.replace(" ", "\n\u00a0 "),
    "half": lambda q: " ".join(q.split()[:24]),
    "other half": lambda q: " ".join(q.split()[-24:]),
}


def records():
    """Each item planted in each way, each in its own text, and as many texts without one."""
    found = []
    for number, (way, change) in enumerate(PLANTS.items()):
        planted = f"{text(20)}. {change(ITEMS[number]['prompt'])} {text(20)}"
        found.append({"id": way, "text": planted, "kept": 1.10})
        found.append({"id": f"no {way}", "text": text(80)})
    return found


RECORDS = records()


@pytest.fixture
def folder(tmp_path):
    for name, some in (("in.jsonl", RECORDS), ("items.jsonl", ITEMS)):
        (tmp_path / name).write_text("".join(json.dumps(one) + "\n" for one in some))
    return tmp_path


LINE = ("decontaminate", "in.jsonl", "--benchmark", "items.jsonl")


def grams(words, n):
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def plain_words(text):
    """Words as the tool compares them."""
    found = []
    for word in "".join(c.lower() if c.isalnum() else " " for c in text).split():
        word = "#" if word.isdigit() else word
        if word != "#" or found[-1:] != ["#"]:
            found.append(word)
    return found


def scores(n):
    """Each record's best score and item, each n-gram of each item compared with each record."""
    held = [grams(plain_words(item["prompt"]), n) for item in ITEMS]
    there = [grams(plain_words(record["text"]), n) for record in RECORDS]

    def weight(gram):
        items, found = (sum(gram in one for one in group) for group in (held, there))
        return 1 / items / (1 + math.log(max(1, found)))

    best = []
    for own in there:
        every = [
            (sum(map(weight, own & item)) / sum(map(weight, item)), index)
            for index, item in enumerate(held)
            if item
        ]
        best.append(max(every, key=lambda one: one[0]))
    return best


@pytest.mark.parametrize("n", [5, 13])
def test_scores_are_those_of_all_comparisons(folder, n):
    found = synth(*LINE, "--remove", "nothing", "--ngram", n, cwd=folder).splitlines()
    for record, line, (score, item) in zip(RECORDS, found, scores(n), strict=True):
        given = json.loads(line)
        assert {key: given[key] for key in record} == record
        assert given["contamination"] == pytest.approx(score, abs=1e-9)
        assert given["contaminated_by"] == (f"items.jsonl:{item + 1}" if score else None)


@pytest.mark.parametrize("way", PLANTS)
def test_planted_items_are_found_and_no_others(folder, way):
    removed = ["--removed", "held.jsonl", "--report", "r.json"]
    left = [json.loads(line) for line in synth(*LINE, *removed, cwd=folder).splitlines()]
    assert left == [record for record in RECORDS if record["id"].startswith("no ")]
    held = [json.loads(line) for line in (folder / "held.jsonl").read_text().splitlines()]
    record = next(one for one in held if one["id"] == way)
    number = list(PLANTS).index(way)
    assert record["contaminated_by"] == f"items.jsonl:{number + 1}"
    report = json.loads((folder / "r.json").read_text())
    (hit,) = [hit for hit in report["hits"] if hit["item_id"] == f"q{number}"]
    assert plain_words(hit["record_passage"]) == plain_words(hit["item_passage"])
    words = len(plain_words(PLANTS[way](ITEMS[number]["prompt"])))
    assert words <= hit["words"] <= words + 2  # a number behind it is one with it
    (benchmark,) = report["benchmarks"]
    assert (benchmark["items"], benchmark["unchecked"]) == (41, 1)
    assert benchmark["contaminated"] == len(PLANTS) and report["contaminated"] == len(PLANTS)
    assert report["inputs"] == [
        {"input": "in.jsonl", "records": len(RECORDS), "contaminated": len(PLANTS)}
    ]


def test_passages_are_cut_out(folder):
    lines = synth(*LINE, "--remove", "passage", cwd=folder).splitlines()
    for record, line in zip(RECORDS, lines, strict=True):
        left = json.loads(line)["text"]
        if record["id"].startswith("no "):
            assert line == json.dumps(record).encode()
        else:
            whole = plain_words(record["text"])
            planted = plain_words(
                PLANTS[record["id"]](ITEMS[list(PLANTS).index(record["id"])]["prompt"])
            )
            at = next(i for i in range(len(whole)) if whole[i : i + len(planted)] == planted)
            assert plain_words(left) == whole[:at] + whole[at + len(planted) :]


def test_an_item_split_over_two_records_is_found_as_one(tmp_path):
    """Neither half has enough of it; both have."""
    words = text(60).split()
    (tmp_path / "items.jsonl").write_text(json.dumps({"question": " ".join(words)}) + "\n")
    halves = [" ".join(words[:34]), " ".join(words[26:])]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in halves))
    synth(*LINE, "--min-score", 0.8, "--report", "r.json", "-o", "out.jsonl", cwd=tmp_path)
    (benchmark,) = json.loads((tmp_path / "r.json").read_text())["benchmarks"]
    assert (benchmark["contaminated"], benchmark["together"]) == (0, 1)


def test_boilerplate_alone_is_no_contamination(tmp_path):
    """What all items begin with, and what many records quote."""
    head, quoted = text(20), text(40)
    items = [{"prompt": f"{head} {text(25)}"} for _ in range(60)]
    items.append({"prompt": f"{quoted} {text(40)}"})
    records = [{"text": f"{text(30)} {head} {text(30)}"}]
    records += [{"text": f"{text(30)} {quoted} {text(5)}"} for _ in range(50)]
    for name, some in (("in.jsonl", records), ("items.jsonl", items)):
        (tmp_path / name).write_text("".join(json.dumps(one) + "\n" for one in some))
    out = synth(*LINE, "--report", "r.json", cwd=tmp_path)
    assert len(out.splitlines()) == len(records)
    assert json.loads((tmp_path / "r.json").read_text())["boilerplate"] == 8


def test_jobs_forms_and_the_python_function_agree(folder):
    expected = synth(*LINE, "--jobs", 1, cwd=folder)
    assert synth(*LINE, "--jobs", 3, cwd=folder) == expected
    piped = ("decontaminate", "-", "--benchmark", "items.jsonl")
    assert synth(*piped, cwd=folder, input=(folder / "in.jsonl").read_bytes()) == expected
    found = list(synthtools.decontaminate(RECORDS, benchmark=[str(folder / "items.jsonl")]))
    assert found == [json.loads(line) for line in expected.splitlines()]


def test_what_is_wrong_is_one_line(folder):
    line = synth(*LINE, "--item-fields", "body", code=1, cwd=folder)
    assert "items.jsonl:1: no text in body" in line and "--item-fields" in line
    words = ("--remove", "nothing", "--removed", "x.jsonl")
    assert "--removed goes with" in synth(*LINE, *words, code=2, cwd=folder)
    assert "--benchmark" in synth("decontaminate", "in.jsonl", code=2, cwd=folder)
    gone = ("decontaminate", "in.jsonl", "--benchmark", "gone.jsonl")
    assert "gone.jsonl" in synth(*gone, code=1, cwd=folder)


def test_tasks_of_the_harness_are_found_by_name(folder):
    pytest.importorskip("lm_eval")
    yaml = pytest.importorskip("yaml")
    tasks = folder / "tasks"
    tasks.mkdir()
    lines = (folder / "items.jsonl").read_text().splitlines(keepends=True)
    halves = {"one": lines[:20], "two": lines[20:]}
    of_hub = {"dataset_path": "no/such", "dataset_name": "main", "test_split": "test"}
    configs = [{"group": "both", "task": ["one", "two"]}, {"task": "hub", **of_hub}]
    for name, half in halves.items():
        (folder / f"{name}.jsonl").write_text("".join(half))
        of_json = {"dataset_path": "json", "test_split": "test"}
        files = {"data_files": {"train": "no.jsonl", "test": f"{name}.jsonl"}}
        configs.append({"task": name, **of_json, "dataset_kwargs": files})
    gone = {"data_files": "gone.jsonl"}
    configs.append({"task": "gone", "dataset_path": "json", "dataset_kwargs": gone})
    for config in configs:
        name = config.get("group") or config["task"]
        (tasks / f"{name}.yaml").write_text(yaml.safe_dump(config))
    words = (
        "decontaminate",
        "in.jsonl",
        "--task-files",
        "tasks",
        "--report",
        "r.json",
        "--benchmark",
    )
    assert synth(*words, "lm-eval:both", cwd=folder) == synth(*LINE, cwd=folder)
    report = json.loads((folder / "r.json").read_text())
    (benchmark,) = report["benchmarks"]
    assert (benchmark["benchmark"], benchmark["items"]) == ("lm-eval:both", len(lines))
    assert {hit["item"].split(":")[0] for hit in report["hits"]} == {"one.jsonl"}
    assert "no task in tasks" in synth(*words, "lm-eval:other", cwd=folder, code=1)
    assert "not there: gone.jsonl" in synth(*words, "lm-eval:gone", cwd=folder, code=1)
    assert "(no/such, split test) is not on disk" in synth(
        *words, "lm-eval:hub", cwd=folder, code=1
    )


def test_strings_within_objects_are_items_texts(folder):
    items = [
        {"question": "?", "choices": {"label": ["A", "B"], "text": [item["prompt"], "no"]}}
        for item in ITEMS[:7]
    ]
    (folder / "nested.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    words = ("decontaminate", "in.jsonl", "--benchmark", "nested.jsonl")
    assert synth(*words, cwd=folder) == synth(*LINE, cwd=folder)
