"""Chats and instructions are known by their fields, read by every tool, and turned into each other."""

import json
import os
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import synthtools
from running import command, one_line, run
from synthtools.records.rejects import Rejects
from synthtools.records.shapes import SHAPES, conversation, members_of, shape_of
from synthtools.training.documents import DocumentFormat, Fields

ANSWER = "The quick brown fox jumps over the lazy dog."
PROMPT = "What does the fox do?"
RECORDS = {
    "messages": {
        "messages": [
            {"role": "user", "content": PROMPT},
            {"role": "assistant", "content": ANSWER},
        ]
    },
    "conversations": {
        "conversations": [{"from": "human", "value": PROMPT}, {"from": "gpt", "value": ANSWER}]
    },
    "instruction-output": {"instruction": PROMPT, "output": ANSWER},
    "prompt-completion": {"prompt": PROMPT, "completion": ANSWER},
    "prompt-response": {"prompt": PROMPT, "response": ANSWER},
    "question-answer": {"question": PROMPT, "answer": ANSWER},
}


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def records_of(result):
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_shape_is_known():
    assert set(RECORDS) == set(SHAPES)
    for name, record in RECORDS.items():
        assert shape_of({"id": 1, **record}) == name
        assert conversation(record, name) == RECORDS["messages"]["messages"]
        assert members_of(RECORDS["messages"]["messages"], name) == record
    assert shape_of({"prompt": "x", "output": "y"}) is None


@pytest.mark.parametrize("name", SHAPES)
def test_the_answer_is_scored_edited_and_measured(name, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines({"id": "a", **RECORDS[name]}))
    (plain,) = records_of(run("ppl", input=lines({"id": "a", "text": ANSWER})))
    told = f"read as {' and '.join(SHAPES[name].fields)}".encode()
    for result in (run("ppl", path), run("ppl", input=path.read_bytes())):
        (found,) = records_of(result)
        assert (found["ppl"], found["n_tokens"]) == (plain["ppl"], plain["n_tokens"])
        assert result.stderr.startswith(b"synth: " + told) and result.stderr.count(b"\n") == 1
    assert run("ppl", path, "--quiet").stderr == b""
    assert run("ppl", path, "--shape", name).stderr == b""
    edit = ("edit", "--top-k", 1, "--threshold", 0)  # every token becomes the most probable
    (text,) = records_of(run(*edit, input=lines({"id": "a", "text": ANSWER})))
    (edited,) = records_of(run(*edit, "-q", path))
    assert text["text"] != ANSWER and edited["edit_changed"] == text["edit_changed"]
    restored = json.dumps(edited).replace(json.dumps(text["text"]), json.dumps(ANSWER))
    assert {**json.loads(restored)}.items() >= RECORDS[name].items()
    report = json.loads(run("stats", path, "-q").stdout)
    assert report["text_field"] == SHAPES[name].answer and report["groups"][0]["documents"] == 1


def test_inputs_of_several_shapes_are_compared(tmp_path):
    """Each by its own answers: as their texts alone."""
    given = {
        "chat": [RECORDS["messages"], {"messages": [{"role": "user", "content": PROMPT}]}],
        "alpaca": [{"instruction": "x", "output": PROMPT}, RECORDS["instruction-output"]],
        "plain": [{"text": ANSWER}, {"text": PROMPT}],
    }
    texts = {"chat": (ANSWER, PROMPT), "alpaca": (PROMPT, ANSWER), "plain": (ANSWER, PROMPT)}
    for name, records in given.items():
        (tmp_path / f"{name}.jsonl").write_bytes(lines(*records))
        (tmp_path / f"{name}-text.jsonl").write_bytes(lines(*({"text": t} for t in texts[name])))
    shaped, bare = ([f"{name}{end}.jsonl" for name in given] for end in ("", "-text"))
    for words in (("ppl", "--compare", "--bootstrap", 0), ("stats", "--measures", "lengths")):
        done, plain = (run(*words, *names, "--json", cwd=tmp_path) for names in (shaped, bare))
        assert done.returncode == plain.returncode == 0, done.stderr
        one, other = (json.loads(result.stdout) for result in (done, plain))
        assert one.pop("made_by") != other.pop("made_by")
        one.pop("text_field", None), other.pop("text_field", None)
        assert json.dumps(one) == json.dumps(other).replace("-text.jsonl", ".jsonl")
        told = [line for line in done.stderr.decode().splitlines() if "read as" in line]
        assert told[0].startswith("synth: chat.jsonl: read as messages (OpenAI's chat format): ")
        assert told[1].startswith("synth: alpaca.jsonl: read as instruction and output (Alpaca): ")
        assert len(told) == 2


def test_answers_are_mixed_selected_embedded_and_compared(tmp_path):
    """As the same texts in a field text are; each target has a shape of its own."""
    answers = [ANSWER, PROMPT, ANSWER]
    chats = [{"messages": [{"role": "user", "content": str(n)}]} for n in range(3)]
    for chat, answer in zip(chats, answers, strict=True):
        chat["messages"].append({"role": "assistant", "content": answer})
    (tmp_path / "chat.jsonl").write_bytes(lines(*chats))
    (tmp_path / "alpaca.jsonl").write_bytes(lines(RECORDS["instruction-output"]))
    (tmp_path / "text.jsonl").write_bytes(lines(*({"text": answer} for answer in answers)))
    (tmp_path / "target.jsonl").write_bytes(lines({"text": ANSWER}))
    chat, plain = str(tmp_path / "chat.jsonl"), str(tmp_path / "text.jsonl")
    assert list(synthtools.dedup(chat)) == chats[:2]
    piped = run("dedup", input=lines(*chats))
    assert records_of(piped) == chats[:2] and piped.stderr.count(b"read as messages") == 1
    sizes = [synthtools.mix([f"{name}=1"], dry_run=True, unit="bytes") for name in (chat, plain)]
    assert sizes[0]["total"] == sizes[1]["total"] == sum(len(answer) for answer in answers)
    weighed = [
        [record["dsir_logw"] for record in synthtools.dsir(name, target=target, weights=True)]
        for name, target in ((chat, tmp_path / "alpaca.jsonl"), (plain, tmp_path / "target.jsonl"))
    ]
    assert weighed[0] == weighed[1]
    vectors = [[one["embedding"] for one in synthtools.embed(name)] for name in (chat, plain)]
    assert vectors[0] == vectors[1]


def test_a_text_is_the_text_whatever_stands_beside(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines({"text": "Some words.", **RECORDS["messages"]}))
    result = run("stats", tmp_path / "a.jsonl")
    assert json.loads(result.stdout)["text_field"] == "text" and not result.stderr


def test_a_silent_pipe_is_waited_for():
    shell = (
        f"(sleep 1; echo '{json.dumps(RECORDS['question-answer'])}') | {' '.join(command())} ppl"
    )
    done = subprocess.run(["bash", "-c", shell], capture_output=True, env=os.environ, timeout=120)
    assert done.returncode == 0 and b"read as question and answer" in done.stderr


def test_standard_input_by_its_other_name():
    result = run("mix", "/dev/stdin=1", input=lines(RECORDS["messages"]))
    assert result.stdout == lines(RECORDS["messages"]) and b"read as messages" in result.stderr


def test_records_of_a_program_are_known_too():
    plain = synthtools.ppl([{"text": ANSWER}], summary=True)["median"]
    for some in ([RECORDS["messages"]], iter([RECORDS["messages"]])):
        assert synthtools.ppl(some, summary=True)["median"] == plain
    table = pa.Table.from_pylist([RECORDS["conversations"]])
    assert synthtools.ppl(table, summary=True)["median"] == plain


def test_nested_lists_of_parquet(tmp_path):
    pq.write_table(pa.Table.from_pylist([RECORDS["conversations"]] * 2), tmp_path / "a.parquet")
    found = records_of(run("ppl", tmp_path / "a.parquet"))
    (plain,) = records_of(run("ppl", input=lines({"text": ANSWER})))
    assert [record["ppl"] for record in found] == [pytest.approx(plain["ppl"])] * 2


def test_what_a_shape_refuses(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(RECORDS["messages"]))
    both = run("ppl", tmp_path / "a.jsonl", "--shape", "messages", "--text-field", "x")
    assert "--shape and --text-field" in one_line(both, 2)
    other = run("ppl", tmp_path / "a.jsonl", "--shape", "question-answer")
    assert 'a.jsonl:1: no field "answer" (fields: messages' in one_line(other, 1)
    unknown = one_line(run("cat", tmp_path / "a.jsonl", "--shape", "sharegpt"), 2)
    assert "--shape sharegpt: use messages, conversations, " in unknown
    sft = run(
        "train", tmp_path / "a.jsonl", "--shape", "messages", "--from", "builtin", "--dry-run"
    )
    assert "--shape goes with --sft" in one_line(sft, 2)
    style = run("generate", tmp_path / "a.jsonl", "--shape", "messages", "--style", "wrap-qa")
    assert "takes a field (--prompt-field), not a --shape" in one_line(style, 2)


# ---------------------------------------------------------------- one shape as another


@pytest.mark.parametrize("target", SHAPES)
def test_cat_turns_every_shape_into_every_other(target):
    first = b'{"k": 1.50, %s, "z":[1, 2]}\n'
    given = b"".join(first % json.dumps(record).encode()[1:-1] for record in RECORDS.values())
    result = run("cat", "--shape", target, input=given)
    for name, line, record in zip(
        RECORDS, result.stdout.splitlines(), records_of(result), strict=True
    ):
        assert record == {"k": 1.5, **RECORDS[target], "z": [1, 2]}
        assert line.startswith(b'{"k": 1.50,') and line.endswith(b'"z":[1, 2]}')
        if name == target:
            assert line + b"\n" == first % json.dumps(RECORDS[name]).encode()[1:-1]


def test_conversations_that_do_not_fit():
    long = {"messages": [{"role": "system", "content": "s"}, *RECORDS["messages"]["messages"]]}
    bad = [
        (long, "a conversation of system, user, assistant does not fit into prompt-response"),
        ({"messages": "x"}, "messages is not a list of {role, content}"),
        (
            {"conversations": [{"from": "tool", "value": ""}]},
            'conversations has a turn from "tool"',
        ),
        ({"conversations": []}, "conversations is not a list of {from, value}"),
        (
            {"conversations": [{"from": 1, "value": "x"}]},
            "conversations is not a list of {from, value} with",
        ),
        ({"question": "x", "answer": True}, "question and answer are not both text"),
        ({"instruction": "x", "input": 3, "output": "y"}, "instruction and output are not both"),
        ({"body": "x"}, "no chat and no instruction (fields: body)"),
    ]
    for record, reason in bad:
        result = run("cat", "--shape", "prompt-response", input=lines(record))
        assert f"<stdin>:1: {reason}" in one_line(result, 1)
    kept = run("cat", "--shape", "conversations", input=lines(long))
    assert records_of(kept)[0]["conversations"][0] == {"from": "system", "value": "s"}


def test_an_input_joins_its_instruction():
    record = {"instruction": "Add.", "input": "1 2", "output": "3"}
    (found,) = records_of(run("cat", "--shape", "question-answer", input=lines(record)))
    assert found == {"question": "Add.\n\n1 2", "answer": "3"}
    (found,) = records_of(run("cat", "--shape", "messages", input=lines({**record, "input": ""})))
    assert found["messages"][0]["content"] == "Add."


# ---------------------------------------------------------------- training and generation


def batch_of(batches_of, tmp_path, *records):
    (tmp_path / "a.jsonl").write_bytes(lines(*records))
    (batch,) = batches_of(tmp_path / "a.jsonl")
    return batch


def test_sft_reads_every_shape(tmp_path, batches_of):
    batch = batch_of(batches_of, tmp_path, *RECORDS.values(), {"body": "x"})
    names = Fields("messages", "prompt", "response")
    noted = Rejects(skip=True)
    ((_, found),) = DocumentFormat("conversation", "text", names).documents(batch, noted)
    assert found == [RECORDS["messages"]["messages"]] * 6 and noted.count == 1
    forced = DocumentFormat("conversation", "text", names, "question-answer")
    ((_, found),) = forced.documents(batch, Rejects(skip=True))
    assert len(found) == 1
    own = DocumentFormat("conversation", "text", Fields("m", "question", "answer"))
    assert own.recognized(batch.take([5])) is None
    assert own.recognized(batch.take([1])) == "conversations"


def test_sft_says_what_it_reads(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(RECORDS["conversations"]))
    (tmp_path / "b.jsonl").write_bytes(lines(RECORDS["conversations"]))
    files = (tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    told = run("train", *files, "--sft", "--from", "builtin", "--dry-run")
    assert told.returncode == 0 and told.stderr.count(b"read as conversations (ShareGPT)") == 1


def test_generate_asks_up_to_the_answer(tmp_path):
    ask = ("generate", "--max-new-tokens", 2, "--seed", 1)
    (expected,) = records_of(run(*ask, input=lines({"prompt": PROMPT})))
    for name, record in RECORDS.items():
        if name != "prompt-response":  # its answer stands where the new one would
            (found,) = records_of(run(*ask, input=lines(record)))
            assert found["generate_prompt_tokens"] == expected["generate_prompt_tokens"], name
    last = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    turns = [*last, {"role": "user", "content": "c"}]
    assert len(records_of(run(*ask, input=lines({"messages": turns})))) == 1


def test_domains_of_an_evaluation(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(RECORDS["conversations"]))
    (tmp_path / "b.jsonl").write_bytes(lines({"text": ANSWER}))
    words = ("--suite", "perplexity", "--valid", f"a={tmp_path}/a.jsonl")
    result = run("eval", "builtin", *words, "--valid", f"b={tmp_path}/b.jsonl", "--json")
    rows = json.loads(result.stdout)["suites"]["perplexity"]["domains"]
    assert rows[0]["nll"] == rows[1]["nll"] and b"conversations[-1].value" in result.stderr
