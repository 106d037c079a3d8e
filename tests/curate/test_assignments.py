"""Fields set from templates and constants: what changes, and that nothing else does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from running import synth
from synthtools.curate.reshaped_records import constant_of, template_of, with_constants, with_text
from synthtools.errors import RecordError
from synthtools.records.inputs import find_shards
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects

PAIR = r"{prompt}\n\n{response}"


@pytest.fixture
def batches(tmp_path):
    def of(lines, suffix="jsonl"):
        path = tmp_path / f"in.{suffix}"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return read(find_shards([str(path)]), Rejects())

    return of


def texts(batches, *templates, name="text", rejects=None):
    found = with_text(batches, [template_of(one) for one in templates], name, rejects or Rejects())
    return [line for batch in found for line in batch.json_lines()]


def test_the_first_template_that_fits_is_taken(batches):
    lines = [
        b'{"id": 1.10, "text": "a\\u00e9"}',
        b' { "prompt":"p","response":"r" , "big":12345678901234567890123 } ',
        b'{"text":null,"prompt":"p","response":""}',
        b'{"text":"t","prompt":"p","response":"r"}',
    ]
    assert texts(batches(lines), "{text}", PAIR) == [
        lines[0],
        b' { "prompt":"p","response":"r" , "big":12345678901234567890123,"text":"p\\n\\nr" } ',
        b'{"text":"p\\n\\n","prompt":"p","response":""}',
        lines[3],
    ]
    assert json.loads(texts(batches(lines), PAIR, "{text}")[3])["text"] == "p\n\nr"


def test_escapes_and_braces(batches):
    (line,) = texts(batches([b'{"a":"{b}\\\\n"}']), r"\\n{{x}}\t{a}" + "\n")
    assert json.loads(line)["text"] == "\\n{x}\t{b}\\n\n"


@pytest.mark.parametrize(
    "line, words",
    [
        (b'{"body": "x", "id": 3}', r'no field "text"; no field "prompt" \(fields: body, id'),
        (b'{"prompt": "x", "response": 4}', 'no field "text"; field "response" is a number'),
        (b'{"text": null}', 'field "text" is null, not a string; no field "prompt"'),
        (b'{"text": "\\ud800"}', "half of a surrogate pair"),
        (b"{}", r"\(fields: none; see --text\)"),
    ],
)
def test_a_record_that_fits_no_template(line, words, batches):
    good = b'{"text":"t"}'
    with pytest.raises(RecordError, match=rf"in.jsonl:2: .*{words}"):
        texts(batches([good, line]), "{text}", PAIR)
    rejects = Rejects(skip=True)
    assert texts(batches([good, line, good]), "{text}", PAIR, rejects=rejects) == [good, good]
    assert rejects.count == 1


@pytest.mark.parametrize("text", ["{", "}", "{}", "{a!r}", "{a:3}", r"\d", "\\", "a\udc80"])
def test_what_is_no_template(text):
    with pytest.raises(ValueError):
        template_of(text)


@pytest.mark.parametrize("text", ["x", "=x", "a=\udc80", ""])
def test_what_is_no_constant(text):
    with pytest.raises(ValueError):
        constant_of(text)


def test_constants(batches):
    values = dict(map(constant_of, ["model=human", "n=", "x=a=b"]))
    (batch,) = with_constants(batches([b'{"n": 1.50, "k":2.0}', b"{}"]), values)
    assert list(batch.json_lines()) == [
        b'{"n": "", "k":2.0,"model":"human","x":"a=b"}',
        b'{"model":"human","n":"","x":"a=b"}',
    ]
    assert batch.select(["x", "n"]).json_lines()[0] == b'{"x":"a=b","n": ""}'
    assert batch.column("model") == ["human", "human"]


WORDS = st.text('aé😀"\\\n{}\t ', max_size=6)
RECORD = st.dictionaries(
    st.sampled_from(["text", "a", "b", "é", "n"]), WORDS | st.none() | st.integers() | st.floats()
)


@given(records=st.lists(RECORD, min_size=1, max_size=5))
def test_templates_are_those_of_plain_python(records, tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "in.jsonl"
    path.write_text(
        "".join(json.dumps(r, ensure_ascii=i % 2) + "\n" for i, r in enumerate(records))
    )
    rejects = Rejects(skip=True)
    lines = texts(read(find_shards([str(path)]), Rejects()), "{a}-{é}", "<{b}>", rejects=rejects)
    expected = []
    for record in records:
        for names, text in ((("a", "é"), "{a}-{é}"), (("b",), "<{b}>")):
            if all(type(record.get(name)) is str for name in names):
                expected.append({**record, "text": text.format(**record)})
                break
    assert [json.dumps(json.loads(line)) for line in lines] == list(map(json.dumps, expected))
    assert rejects.count == len(records) - len(expected)


# ---------------------------------------------------------------- through the binary


def test_formats_order_and_resume(tmp_path):
    lines = [{"id": i, "prompt": f"p{i}", "response": "r" * i, "n": 0.5} for i in range(50)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    synth("cat", "in.jsonl", "-o", "in.parquet", cwd=tmp_path)
    options = ["--text", PAIR, "--set", "model=human", "--select", "model,text,n", "--head", 30]
    plain = synth("cat", "in.jsonl", *options, cwd=tmp_path)
    assert [json.loads(line) for line in plain.splitlines()] == [
        {"model": "human", "text": f"p{i}\n\n{'r' * i}", "n": 0.5} for i in range(30)
    ]
    rows = synth("cat", "in.parquet", *options, cwd=tmp_path)
    assert list(map(json.loads, rows.splitlines())) == list(map(json.loads, plain.splitlines()))
    sharded = [*options, "--shard-size", 8, "-o", "out/"]
    synth("cat", "in.jsonl", *sharded, cwd=tmp_path)
    # As if the run had been killed after its second shard: it goes on, and ends with the same.
    manifest = tmp_path / "out/.synth.json"
    found = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**found, "shards": found["shards"][:2], "complete": False}))
    synth("cat", "in.jsonl", *sharded, "--resume", cwd=tmp_path)
    assert synth("cat", "out/", cwd=tmp_path) == plain


def test_wrong_usage(tmp_path):
    assert "needs --text" in synth("cat", "--text-field", "body", code=2)
    message = synth("cat", "--text", "{a}", "--set", "text=b", code=2)
    assert "the field that --text writes" in message
    assert "--set a=…: is given twice" in synth("cat", "--set", "a=1", "--set", "a=2", code=2)
    for words in (["--text", r"\d"], ["--set", "x"]):
        assert f"{words[0]} {words[1]}: " in synth("cat", *words, code=2)
