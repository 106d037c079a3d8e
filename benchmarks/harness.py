"""``synth eval`` and lm-evaluation-harness on the same items of each task, item by item.

Each tool scores with a model class of its own, in float32 on the CPU. The harness's side of a task is
written here in its own templates. BENCH_ITEMS items of each task (default 300) out of BENCH_DATA
(default ../shared/data), with 0 and 3 examples, which are the records behind those items (of MMLU its dev
split); BENCH_TASKS names some of the tasks. (pip install 'synthtools[eval]')
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.common import machine, model_name
from synthtools.evaluate import tasks
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.lm.gguf import converted, is_gguf

ITEMS = int(os.environ.get("BENCH_ITEMS", 300))
DATA = os.environ.get("BENCH_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
SHOTS = (0, 3)
# Log-likelihoods that are further apart differ by more than the order of float32's sums.
CLOSE = 1e-3

_QUESTION = "Question: {{prompt}}\nAnswer:"
_CHOICES = {
    "output_type": "multiple_choice",
    "doc_to_text": _QUESTION,
    "doc_to_choice": "choices",
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
}
_WRITTEN = {
    "output_type": "generate_until",
    "doc_to_text": _QUESTION,
    "generation_kwargs": {"until": ["Question:", "\n\n"], "do_sample": False},
}
_IGNORED = [",", "\\$", "(?s).*#### ", "\\.$", "\\.0$"]
_NUMBERS = {"metric": "exact_match", "ignore_case": True, "regexes_to_ignore": _IGNORED}


def _regex(name: str, pattern: str, which: int) -> dict:
    found = {"function": "regex", "regex_pattern": pattern, "group_select": which}
    return {"name": name, "filter": [found, {"function": "take_first"}]}


_LAST_NUMBER = "(-?[$0-9.,]{2,})|(-?[0-9]+)"
_LETTERS = "".join(f"\n{letter}. {{{{choices[{i}]}}}}" for i, letter in enumerate("ABCD"))
_FILLED = "prompt.split('_')[0] + choices"
THEIRS = {
    "arc_easy": _CHOICES,
    "arc_challenge": _CHOICES,
    "boolq": _CHOICES | {"doc_to_choice": ["no", "yes"]},
    "piqa": _CHOICES,
    "pubmedqa": _CHOICES | {"doc_to_text": f"Abstract: {{{{context}}}}\n{_QUESTION}"},
    "truthfulqa": _CHOICES | {"doc_to_text": "Q: {{prompt}}\nA:"},
    "mmlu": _CHOICES
    | {
        "doc_to_text": f"{{{{prompt}}}}{_LETTERS}\nAnswer:",
        "doc_to_choice": list("ABCD"),
        "description": "The following are multiple choice questions (with answers) about "
        "{{subject|replace('_', ' ')}}.\n\n",
    },
    "winogrande": _CHOICES
    | {
        "doc_to_text": "answer",
        "doc_to_choice": f"{{{{[{_FILLED}[0], {_FILLED}[1]]}}}}",
        "doc_to_target": "{{prompt.split('_')[1]}}",
        "target_delimiter": "",
    },
    "gsm8k": _WRITTEN
    | {
        "doc_to_target": "{{response}}",
        "filter_list": [
            _regex("strict-match", r"#### (\-?[0-9\.\,]+)", 0),
            _regex("flexible-extract", _LAST_NUMBER, -1),
        ],
        "metric_list": [_NUMBERS],
    },
    "svamp": _WRITTEN
    | {
        "doc_to_target": "{{answer}}",
        "filter_list": [_regex("last", _LAST_NUMBER, -1)],
        "metric_list": [_NUMBERS],
    },
}


def prepared(folder: Path, name: str) -> dict[str, int]:
    """Writes a task's items and examples as both tools read them; the harness has a task for each
    value of the task's field ``by``: their names, and how many items each has."""
    task = tasks.shipped()[name]
    held = list(
        Evaluator(EvaluationOptions(limit=ITEMS + max(SHOTS))).records(tasks.files_of(task, DATA))
    )
    items, examples = held[:ITEMS], held[ITEMS:]
    if task.by:
        dev = tasks.find_data(DATA, (name,), task.shots_split, name)
        examples = list(Evaluator(EvaluationOptions()).records(dev))
    splits = {"test": items, task.shots_split[0]: examples}
    for split, records in splits.items():
        _write(folder / name / f"{split}.jsonl", records)
    found = {}
    for value in dict.fromkeys(item.get(task.by) for item in items):
        part = f"{name}_{value}" if task.by else name
        files = {}
        for split, records in splits.items():
            mine = [one for one in records if one.get(task.by) == value]
            files[split] = str(_write(folder / "parts" / f"{part}_{split}.jsonl", mine))
            if split == "test":
                found[part] = len(mine)
        theirs = {
            "task": part,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": files},
            "test_split": "test",
            "fewshot_split": task.shots_split[0],
            "fewshot_config": {"sampler": "first_n"},
            **THEIRS[name],
        }
        if "generation_kwargs" in theirs:
            most = {"max_gen_toks": task.max_new_tokens}
            theirs["generation_kwargs"] = theirs["generation_kwargs"] | most
        (folder / f"{part}.yaml").write_text(yaml.safe_dump(theirs))
    return found


def _write(path: Path, records: list[dict]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def ours(folder: Path, name: str, shots: int) -> list[dict] | None:
    """The samples of ``synth eval``; None where no prompt fits into the context."""
    samples = folder / f"{name}-{shots}.jsonl"
    words = ["eval", model_name(), "--suite", name, "--data", folder, "--shots", shots]
    words += [
        "--samples",
        samples,
        "--bootstrap",
        0,
        "--devices",
        "cpu",
        "--dtype",
        "float32",
        "-q",
    ]
    command = [sys.executable, "-m", "synthtools", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "no item could be answered" in done.stderr:
        return None
    assert not done.returncode, done.stderr
    return [json.loads(line) for line in samples.read_text().splitlines()]


def theirs(lm, manager, parts: dict[str, int], shots: int) -> list[dict]:
    """The samples of the harness, in the order of the items."""
    from lm_eval.evaluator import simple_evaluate

    found = simple_evaluate(
        model=lm, tasks=list(parts), task_manager=manager, num_fewshot=shots, bootstrap_iters=0
    )
    rows = []
    for part, count in parts.items():
        samples = sorted(found["samples"][part], key=lambda row: row["doc_id"])
        filters = len(samples) // count
        rows += [samples[i : i + filters] for i in range(0, len(samples), filters)]
    return rows


def compared(lm, name: str, shots: int, mine: list[dict], them: list[list[dict]]) -> list[object]:
    """A row of the table."""
    assert len(mine) == len(them), f"{name}: {len(mine)} items of ours, {len(them)} of theirs"
    room = lm.max_length
    if "filter_list" in THEIRS[name]:
        room -= tasks.shipped()[name].max_new_tokens
        cut = [len(lm.tok_encode(rows[0]["arguments"][0][0])) > room for rows in them]
        heads = ["exact_match", "exact_match_loose"][: len(them[0])]
        order = {"strict-match": 0, "last": 0, "flexible-extract": 1}
        right = [[0] * len(heads) for _ in them]
        for place, rows in enumerate(them):
            for row in rows:
                right[place][order[row["filter"]]] = int(row["exact_match"])
        differ = [[m[h] for h in heads] != r for m, r in zip(mine, right, strict=True)]
        apart = [
            float(m["response"].strip() != rows[0]["resps"][0][0].strip())
            for m, rows in zip(mine, them, strict=True)
        ]
        accuracy = [sum(m[heads[-1]] for m in mine), sum(r[-1] for r in right)]
    else:
        cut, differ, apart, accuracy = [], [], [], [0, 0]
        for m, (row,) in zip(mine, them, strict=True):
            pairs = [(a[0], a[1]) for a in row["arguments"]]
            cut.append(any(len(lm.tok_encode(a + b)) > room for a, b in pairs))
            raw = [float(one[0]) for one in row["filtered_resps"]]
            apart.append(max(abs(a - b) for a, b in zip(m["logprobs"], raw, strict=True)))
            best = max(range(len(raw)), key=raw.__getitem__)
            differ.append(
                (best, row["acc"], row["acc_norm"])
                != (m["predicted"], m["correct"], m["correct_norm"])
            )
            accuracy[0] += m["correct"]
            accuracy[1] += int(row["acc"])
    whole = [i for i in range(len(mine)) if not cut[i]]
    return [
        name, shots, len(mine), *(f"{100 * a / len(mine):.1f}" for a in accuracy),
        sum(differ[i] for i in whole),
        sum(apart[i] > CLOSE for i in whole),
        f"{max((apart[i] for i in whole), default=0):.0e}",
        sum(cut), sum(d for d, c in zip(differ, cut, strict=True) if c),
    ]  # fmt: skip


HEAD = (
    "task", "shots", "items", "ours, %", "harness, %", "judged otherwise", "scored otherwise",
    "furthest apart", "cut", "of these judged otherwise",
)  # fmt: skip


def model_folder() -> str:
    """The model as the harness can open it: a directory or a Hub id."""
    import synthtools.prior

    name = model_name()
    if name == "builtin":
        return str(Path(synthtools.prior.__file__).parent)
    return converted(name) if is_gguf(name) else name


def main() -> None:
    logging.disable(logging.ERROR)
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    lm = HFLM(model_folder(), device="cpu", dtype="float32", batch_size=16)
    names = os.environ.get("BENCH_TASKS", ",".join(THEIRS)).split(",")
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
        parts = {task: prepared(folder, task) for task in names}
        manager = TaskManager(include_path=str(folder), include_defaults=False)
        for task in names:
            for shots in SHOTS:
                mine = ours(folder, task, shots)
                row = [task, shots, sum(parts[task].values()), *"––––––", "all", "–"]
                if mine is not None:
                    row = compared(lm, task, shots, mine, theirs(lm, manager, parts[task], shots))
                print("| " + " | ".join(map(str, row)) + " |", flush=True)
    print(f"\n({model_name()}, float32; {machine()})")
