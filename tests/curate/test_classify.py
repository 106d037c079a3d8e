"""``synth classify`` against scikit-learn's logistic regression and metrics on the same features."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import kernel_reference as reference
import synthtools
from running import synth
from synthtools.curate.text_classifier import LabelledFeatures, _auc, _roc, evaluated, trained
from synthtools.records.text_buffer import TextBuffer
from synthtools.text.ngram_buckets import NgramHasher, bucket_lists

HASHER = NgramHasher((1, 2), 4096)


def texts_of(classes, count, seed=0):
    """Texts whose words depend on their class, some more than others."""
    random = np.random.default_rng(seed)
    words = np.array([f"word{i}" for i in range(300)])
    found, labels = [], []
    for i in range(count):
        label = i % classes
        odds = np.ones(300)
        odds[label * 40 : label * 40 + 60] += random.uniform(0, 2)
        found.append(" ".join(random.choice(words, random.integers(5, 60), p=odds / odds.sum())))
        labels.append(label)
    return found, np.array(labels)


def plain_features(texts):
    """c_j / sqrt(c) in plain Python."""
    rows = np.zeros((len(texts), HASHER.buckets))
    for row, text in zip(rows, texts):
        grams = reference.ngrams(reference.tokens(text), (1, 2))
        for gram in grams:
            row[reference.fast_bucket(gram, HASHER.buckets)] += 1 / np.sqrt(len(grams))
    return csr_array(rows)


def features(texts, labels):
    buckets, offsets = bucket_lists(TextBuffer.of(texts), HASHER.orders, HASHER.buckets)
    return LabelledFeatures(np.split(buckets, offsets[1:-1]), list(labels))


def test_features_are_those_of_plain_python():
    texts, labels = texts_of(2, 20)
    texts += ["", "one", "a " * 9000]
    found = features(texts, [*labels, 0, 0, 0]).matrix(HASHER.buckets)
    assert np.allclose(found.toarray(), plain_features(texts).toarray())


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("balance", [False, True])
def test_probabilities_are_those_of_scikit_learn(classes, balance):
    texts, labels = texts_of(classes, 600)
    keep = (labels > 0) | (np.arange(600) % 4 == 0)  # one class is rarer
    texts, labels = [t for t, one in zip(texts, keep) if one], labels[keep]
    fresh, truth = texts_of(classes, 200, 1)
    names = tuple("abc"[:classes])
    ours = trained(features(texts, labels), names, HASHER, 0.5, balance)
    peer = LogisticRegression(
        C=2.0, max_iter=2000, tol=1e-8, class_weight="balanced" if balance else None
    )
    peer.fit(plain_features(texts), labels)
    probabilities = ours.probabilities(TextBuffer.of(fresh))
    expected = peer.predict_proba(plain_features(fresh))
    assert np.abs(probabilities - expected).max() < 0.01
    assert abs((probabilities.argmax(1) == truth).mean() - peer.score(plain_features(fresh), truth)) <= 0.01  # fmt: skip
    assert (probabilities.argmax(1) == truth).mean() > 1.1 / classes
    test = evaluated(ours, features(fresh, truth), 0)
    assert test["auc"] == pytest.approx(roc_auc_score(truth == 0, probabilities[:, 0]), abs=1e-6)
    assert test["accuracy"] == (probabilities.argmax(1) == truth).mean()


def test_curves_by_hand():
    score = np.array([0.9, 0.8, 0.8, 0.3, 0.3, 0.1])
    positive = np.array([True, True, False, True, False, False])
    assert _auc(score, positive) == roc_auc_score(positive, score)
    points = [[0, 0], [0, 1 / 3], [1 / 3, 2 / 3], [2 / 3, 1], [1, 1]]
    assert np.allclose(_roc(score, positive), points)
    assert _auc(score, np.zeros(6, bool)) is None


@pytest.fixture
def folder(tmp_path):
    texts, labels = texts_of(2, 400, 3)
    for name, label in (("human", 0), ("model", 1)):
        own = [json.dumps({"text": t}) for t, one in zip(texts, labels) if one == label]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(own) + "\n")
    fresh, truth = texts_of(2, 100, 4)
    (tmp_path / "in.jsonl").write_text(
        "".join(
            json.dumps({"id": i, "text": t, "truth": ["human", "model"][one]}) + "\n"
            for i, (t, one) in enumerate(zip(fresh, truth.tolist()))
        )
    )
    return tmp_path


CLASSES = ("--class", "human=human.jsonl", "--class", "model=model.jsonl")


def test_a_saved_classifier_labels_as_the_one_that_was_just_trained(folder):
    saved = ("--save", "clf.safetensors", "--json")
    report = json.loads(synth("classify", *CLASSES, *saved, cwd=folder))
    at_once = synth("classify", "in.jsonl", *CLASSES, cwd=folder)
    later = ("classify", "in.jsonl", "--classifier", "clf.safetensors")
    assert synth(*later, "--jobs", 2, cwd=folder) == at_once
    records = [json.loads(line) for line in at_once.splitlines()]
    right = np.mean([record["label"] == record["truth"] for record in records])
    assert right > 0.7 and abs(right - report["test"]["accuracy"]) < 0.2
    for record in records:
        assert (record["label"] == "human") == (record["score"] >= 0.5)
    other = synth(*later, "--score-of", "model", cwd=folder).splitlines()
    for line, record in zip(other, records, strict=True):
        assert json.loads(line)["score"] == pytest.approx(1 - record["score"], abs=1e-12)
    assert report["texts"] == {"human": 200, "model": 200}
    assert (report["trained_on"], report["test"]["held_out"]) == (360, 40)
    assert report["made_by"]["counts"]["read"] == 400
    tensors = load_file(folder / "clf.safetensors")
    written = (folder / "clf.safetensors").read_bytes()
    synth("classify", *CLASSES, *saved, cwd=folder)
    assert (folder / "clf.safetensors").read_bytes() == written
    assert tensors["weights"].shape == (1, 262144) and tensors["bias"].shape == (1,)


def test_equal_texts_are_on_one_side_and_most_bounds_a_class(folder):
    lines = (folder / "human.jsonl").read_text()
    (folder / "human.jsonl").write_text(lines * 3)
    words = ("classify", *CLASSES, "--json", "--most", 60, "--held-out", 0.5)
    report = json.loads(synth(*words, cwd=folder))
    assert report["texts"]["human"] == 600
    assert report["trained_on"] + report["test"]["held_out"] == 120
    again = json.loads(synth(*words, "--jobs", 3, cwd=folder))
    assert {**report, "made_by": 0} == {**again, "made_by": 0}


def test_the_python_functions(folder):
    given = [f"{name}={folder / name}.jsonl" for name in ("human", "model")]
    report = synthtools.classify(class_=given, save=str(folder / "clf.safetensors"))
    assert report["kind"] == "classify" and report["test"]["accuracy"] > 0.7
    classifier = str(folder / "clf.safetensors")
    (record,) = synthtools.classify([{"text": "word1 word2", "x": 1}], classifier=classifier)
    assert list(record) == ["text", "x", "label", "score"]


def test_what_is_wrong_is_one_line(folder):
    assert "or a --classifier" in synth("classify", "in.jsonl", code=2, cwd=folder)
    assert "two classes" in synth("classify", *CLASSES[:2], code=2, cwd=folder)
    line = synth("classify", *CLASSES, "--score-of", "x", code=2, cwd=folder)
    assert "--score-of x: use human or model" in line
    use = ("classify", "in.jsonl", "--classifier", "clf.safetensors")
    assert "clf.safetensors" in synth(*use, code=1, cwd=folder)
    (folder / "clf.safetensors").write_bytes(b"no weights")
    assert "damaged" in synth(*use, code=1, cwd=folder)
    save_file({"weights": np.ones(3, np.float32)}, folder / "clf.safetensors")
    assert "not a classifier" in synth(*use, code=1, cwd=folder)
    (folder / "human.jsonl").write_text('{"text": "one"}\n' * 20)
    assert "class human: no text to train on" in synth("classify", *CLASSES, code=1, cwd=folder)
