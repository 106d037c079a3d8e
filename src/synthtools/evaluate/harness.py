"""Tasks of lm-evaluation-harness, run on our backends.

The harness makes the requests and computes the metrics; ``HarnessModel`` answers with the model that all suites
share. For multiple-choice tasks, calibration is computed from the samples. ``task_data`` finds a task's items on disk.
"""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.errors import SynthError, UsageError, parameter
from synthtools.evaluate import calibration
from synthtools.evaluate.choices import PER_ITEM, answers_of, sample_rows
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.evaluate.likelihood import fitting, tokenised, total
from synthtools.lm.generation import Prompt, SamplingSettings
from synthtools.lm.scores import ScoreRequest

if TYPE_CHECKING:
    from lm_eval.api.model import LM

PREFIX = "lm-eval:"


def files(name: str, options: EvaluationOptions | None) -> list[str]:
    """No files: the harness reads its own. Raises SynthError: the harness is not installed."""
    if find_spec("lm_eval") is None:
        raise SynthError(f"{name} needs lm-evaluation-harness: pip install 'synthtools[eval]'")
    if options is not None and options.shard is not None:
        raise UsageError(
            f"suite {name}: the harness counts its items itself: leave out {parameter('shard')}"
        )
    return []


def run(name: str, evaluator: Evaluator) -> dict[str, Any]:
    """Runs a task or group of the harness.

    Args:
        name: ``lm-eval:TASK``.

    Returns:
        The section: the harness's metrics as figures (``acc``, ``acc_norm``, …, prefixed with the task's name
        in a group), and our calibration for multiple choice.

    Raises:
        SynthError: the harness is not installed, does not know the task, or cannot load its data.
    """
    task = name.removeprefix(PREFIX)
    options = evaluator.options
    with calm():
        from lm_eval.evaluator import simple_evaluate
        from lm_eval.tasks import TaskManager

        own = options.task_files
        manager = TaskManager(include_path=own, include_defaults=own is None)
        if task not in manager.all_tasks:
            where = f"in {own}" if own else f"of that name ({parameter('task_files')} adds more)"
            raise SynthError(f"suite {name}: lm-evaluation-harness has no task {where}")
        try:
            results = simple_evaluate(
                model=harness_model(evaluator),
                tasks=[task],
                task_manager=manager,
                num_fewshot=options.shots,
                limit=options.limit,
                bootstrap_iters=0,
                log_samples=True,
                **dict.fromkeys(_SEEDS, options.seed),
            )
        except SynthError:
            raise
        except Exception as error:  # the harness and its data sets may raise anything
            line = (str(error).splitlines() or [""])[0]
            raise SynthError(
                f"suite {name}: lm-evaluation-harness could not run it ({type(error).__name__}: "
                f"{line}); without a network its data must be local: "
                f"{parameter('task_files')} with dataset_path json"
            ) from error
    return _section(name, results, evaluator)


def _section(name: str, harness: dict[str, Any], evaluator: Evaluator) -> dict[str, Any]:
    several = len(harness["results"]) > 1
    figures: dict[str, float] = {}
    parts: dict[str, Any] = {}
    for task, results in harness["results"].items():
        for key, value in results.items():
            metric, _, filtered = key.partition(",")
            if isinstance(value, int | float) and filtered and not metric.endswith("_stderr"):
                label = metric if filtered == "none" else f"{metric} ({filtered})"
                figures[f"{task}: {label}" if several else label] = float(value)
    for task, samples in harness["samples"].items():
        if samples and harness["configs"][task]["output_type"] == "multiple_choice":
            parts[task] = _calibration(name, task, samples, evaluator)
    count = sum(map(len, harness["samples"].values()))
    result: dict[str, Any] = {"kind": "lm-eval", "n": count, "figures": figures, "intervals": {}}
    for task, part in parts.items():
        before = f"{task}: " if several else ""
        result["figures"] |= {before + key: value for key, value in part.pop("figures").items()}
        result["intervals"] |= {before + key: v for key, v in part.pop("intervals").items()}
    if len(parts) == 1 and not several:
        result |= next(iter(parts.values()))
        result["per_item"] = PER_ITEM
    elif parts:
        result["tasks"] = parts
    return result


def _calibration(
    name: str, task: str, samples: list[dict[str, Any]], evaluator: Evaluator
) -> dict[str, Any] | None:
    samples = sorted(samples, key=lambda sample: sample["doc_id"])
    logprobs, gold, lengths = [], [], []
    for sample in samples:
        choices = [arguments[1] for arguments in sample["arguments"]]
        logprobs.append(np.array([float(one[0]) for one in sample["filtered_resps"]]))
        target = sample["target"]
        gold.append(int(target[0] if isinstance(target, list) else target))
        lengths.append([max(1, len(choice.removeprefix(" "))) for choice in choices])
    ids = [f"{task}-{sample['doc_id']}" for sample in samples]
    answers = answers_of(logprobs, gold, lengths, ids)
    options = evaluator.options
    result, items = calibration.section(answers, options.bootstrap, options.seed)
    texts = [sample["doc_hash"] for sample in samples]
    evaluator.samples(name, sample_rows(ids, answers, items, texts))
    return result


@contextmanager
def calm() -> Iterator[None]:
    """Silences the loggers and progress bars of the harness and its data sets."""
    names = ("lm_eval", "lm-eval", "datasets", "huggingface_hub", "fsspec")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with _switched_on("TQDM_DISABLE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _switched_on(*names: str) -> Iterator[None]:
    """Sets environment variables to 1 within the context."""
    before = {name: os.environ.get(name) for name in names}
    os.environ |= dict.fromkeys(names, "1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _sampling(options: dict[str, Any]) -> SamplingSettings:
    until = options.get("until") or []
    return SamplingSettings(
        float(options.get("temperature") or 0.0) if options.get("do_sample") else 0.0,
        float(options.get("top_p") or 1.0),
        None,
        int(options.get("max_gen_toks") or 256),
        tuple([until] if isinstance(until, str) else until),
    )


def harness_model(evaluator: Evaluator) -> LM:
    """Our model with the interface of the harness."""
    from lm_eval.api.model import LM

    class HarnessModel(LM):
        """Requests of the harness, answered by the evaluator's models."""

        def loglikelihood(self, requests: list[Any], **_: Any) -> list[tuple[float, bool]]:
            model = evaluator.model()
            texts = tokenised(model, [request.args for request in requests])
            scores = model.score([fitting(text, model.capacity) for text in texts], ScoreRequest(1))
            return [
                (total(s), bool((s.candidates.ids[:, 0] == s.ids[s.candidates.present]).all()))
                for s in scores
                if s.candidates is not None
            ]

        def loglikelihood_rolling(self, requests: list[Any], **_: Any) -> list[float]:
            model = evaluator.model()
            texts = model.tokenise([request.args[0] for request in requests])
            return [total(score) for score in model.score(texts, ScoreRequest())]

        def generate_until(self, requests: list[Any], **_: Any) -> list[str]:
            texts = [""] * len(requests)
            failures: list[str] = []
            by_sampling: dict[SamplingSettings, list[int]] = {}
            for place, request in enumerate(requests):
                by_sampling.setdefault(_sampling(request.args[1]), []).append(place)
            for sampling, places in by_sampling.items():
                prompts = (Prompt(b"%d" % place, requests[place].args[0]) for place in places)
                answers = evaluator.generator(sampling).generate(prompts)
                for place, answer in zip(places, answers, strict=True):
                    texts[place] = answer.text
                    if answer.error is not None:
                        failures.append(answer.error)
            if failures:
                line = f"{len(failures)} of {len(texts)} items could not be answered: {failures[0]}"
                if len(failures) == len(texts):
                    raise SynthError(line)
                evaluator.remark(f"{line}; they count as empty answers")
            return texts

    return HarnessModel()


_SEEDS = ("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed")
_SPLITS = ("test_split", "validation_split", "training_split")


def task_data(name: str, folder: str | None) -> list[str]:
    """The files of the split that a task is evaluated on, or of all tasks of a group or tag: those that the task
    names (``data_files``), else those in the cache of Hugging Face's datasets.

    Args:
        name: ``lm-eval:TASK``; folder: of task definitions (YAML), None for the installed ones.

    Raises:
        SynthError: the harness is not installed or does not know the task, or the data is not on disk.
    """
    files(name, None)
    # The libraries read these when they are imported: no network.
    with calm(), _switched_on("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        from lm_eval.tasks import TaskManager

        index = TaskManager(include_path=folder, include_defaults=folder is None).task_index
        paths = [one for cfg in _tasks(index, name.removeprefix(PREFIX)) for one in _of(name, cfg)]
    if not paths:
        where = f"in {folder}" if folder else f"of that name ({parameter('task_files')} gives more)"
        raise SynthError(f"{name}: lm-evaluation-harness has no task {where}")
    return list(dict.fromkeys(paths))


def _tasks(index: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """The configurations of a task, or of those in a group or tag."""
    entry = index.get(name)
    config = {} if entry is None else entry.cfg or {}
    if "dataset_path" in config:
        yield config
        return
    inner = config.get("task", [])
    for one in inner if isinstance(inner, list) else []:
        yield from _tasks(index, one if isinstance(one, str) else str(one.get("task", "")))
    for other in index.values():
        if name in other.tags and "dataset_path" in (other.cfg or {}):
            yield other.cfg


def _of(name: str, config: dict[str, Any]) -> list[str]:
    split = next((config[one] for one in _SPLITS if config.get(one)), "test")
    given = dict(config.get("dataset_kwargs") or {})
    named = given.get("data_files")
    if named is not None:
        of_split = named.get(split, []) if isinstance(named, dict) else named
        patterns = [of_split] if isinstance(of_split, str) else of_split
        existing = [
            sorted(glob.glob(os.path.join(given.get("data_dir") or "", p))) for p in patterns
        ]
        for pattern, paths in zip(patterns, existing, strict=True):
            if not paths and "://" not in pattern:
                raise SynthError(f"{name}: its data is not there: {pattern}")
        if all(existing) and existing:
            return [path for paths in existing for path in paths]
    try:
        import datasets

        given.pop("trust_remote_code", None)
        path, part = config["dataset_path"], config.get("dataset_name")
        loaded = datasets.load_dataset(path, part, split=split, **given)
        return [one["filename"] for one in loaded.cache_files]
    except Exception as error:  # data sets may raise anything
        raise SynthError(
            f"{name}: its data ({config['dataset_path']}, split {split}) is not on disk: load it once "
            "with the network, or name a file of its items"
        ) from error
