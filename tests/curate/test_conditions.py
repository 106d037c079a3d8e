"""``synth cat --where``: which records are kept, and that they stay as they were."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from running import run, synth
from synthtools.curate.conditions import Conditions, condition_of
from synthtools.errors import RecordError
from synthtools.records.batch import MISSING
from synthtools.records.inputs import find_shards
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects

LINES = [
    b'{"id":0,"label":"human","score":0.50,"response":"r"}',
    b'{"id":1, "label":"machine","score":1,"response":""}',
    b'{"id":2,"label":null,"score":-2e0,"response":null}',
    b' {"id":3,"label":"m\\u00e4chine","score":123456789012345678901,"ok":true}',
    b'{"id":4,"label":7,"score":7.0,"response":[]}',
]


def kept(path, *expressions, rejects=None, batch_bytes=1 << 20):
    conditions = Conditions([condition_of(text) for text in expressions])
    batches = conditions.kept(
        read(find_shards([str(path)]), Rejects(), batch_bytes), rejects or Rejects()
    )
    return [line for batch in batches for line in batch.json_lines()], conditions


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in LINES))
    return path


@pytest.mark.parametrize(
    "expressions, places",
    [
        (["label=human"], [0]),
        (["label!=human"], [1, 2, 3, 4]),
        ([" label = human, machine "], [0, 1]),
        (["label=mächine"], [3]),
        (["label=7"], [4]),
        (["id=1.0,3"], [1, 3]),
        (["score=7"], [4]),
        (["score=123456789012345678901"], [3]),
        (["score=123456789012345678900"], []),
        (["score>0.5"], [1, 3, 4]),
        (["score>=0.5"], [0, 1, 3, 4]),
        (["score<1"], [0, 2]),
        (["score<=1", "score>-2"], [0, 1]),
        (["score<123456789012345678902", "score>=123456789012345678901"], [3]),
        (["response"], [0, 4]),
        (["!response"], [1, 2, 3]),
        (["! response", "label"], [1, 3]),
        (["response="], [1]),
        (["response=[]"], [4]),
        (["ok=true"], [3]),
        (["label=null"], []),
        (["nothing"], []),
        (["label~^h"], [0]),
        (["label~A.H|uma"], [0]),
        (["label~(?i)MAN|CHINE"], [0, 1, 3]),
        (["label~ä"], [3]),
        (["label!~chine$"], [0, 2, 4]),
        (["label~7"], [4]),
        (["response~^\\[\\]$"], [4]),
        (["nothing!~a"], [0, 1, 2, 3, 4]),
        (['label="7"'], []),
        (['label="m\\u00e4chine",human'], [0, 3]),
        (["nothing!=a"], [0, 1, 2, 3, 4]),
    ],
)
def test_what_is_kept(expressions, places, source):
    found, conditions = kept(source, *expressions)
    assert found == [LINES[place] for place in places]
    assert conditions.left_out == 5 - len(places)
    assert kept(source, *expressions, batch_bytes=20)[0] == found


def test_a_list_may_hold_commas(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"a":"x,y"}\n{"a":"x"}\n{"a":"5\\" disk"}\n')
    assert kept(path, 'a="x,y",z')[0] == [b'{"a":"x,y"}']
    assert kept(path, r'a="5\" disk"')[0] == [b'{"a":"5\\" disk"}']
    assert kept(path, 'a=5" disk')[0] == [b'{"a":"5\\" disk"}']


def test_fields_of_odd_names_and_within_others(tmp_path):
    path = tmp_path / "in.jsonl"
    lines = [b'{"a=b":"x","m":[{"r":"u","c":"1"}]}', b'{"a=b":"y","m":[{"r":"s","c":"1"}]}']
    path.write_bytes(b"\n".join(lines))
    assert kept(path, '"a=b"=x')[0] == lines[:1]
    assert kept(path, '"a=b"')[0] == lines
    assert kept(path, "m[-1].r=s")[0] == lines[1:]
    assert kept(path, "m[r=u].c=1")[0] == lines[:1]
    assert kept(path, "m[r=u]")[0] == lines[:1]
    with pytest.raises(RecordError, match=r"no field \"m.0..n\" \(on its way: an object of r, c\)"):
        kept(path, "m[0].n>1")


@pytest.mark.parametrize("expression", ["t~^(a|a)*$", "t~^(a+)+$", "t~(.*a){20}$"])
def test_expressions_take_time_by_the_length_of_the_text(expression, tmp_path):
    """What backtracks would be busy with this for longer than anyone lives."""
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"t": "a" * 50_000 + "!"}) + "\n")
    assert kept(path, expression)[0] == []


def test_text_that_spells_a_number_is_compared_as_one(tmp_path, batches_of):
    (tmp_path / "a.csv").write_text("n\n2\n10\n1.5e1\n")
    conditions = Conditions([condition_of("n>9")])
    kept = conditions.kept(batches_of(tmp_path / "a.csv"), Rejects())
    assert [value for batch in kept for value in batch.column("n")] == ["10", "1.5e1"]


@pytest.mark.parametrize("value", ['"3rd"', "null", "true", "NaN", "[1]"])
def test_a_comparison_of_no_number_is_a_bad_record(value, tmp_path):
    path = tmp_path / "in.jsonl"
    good = b'{"n":2}'
    path.write_bytes(good + b"\n" + b'{"n":%s}\n' % value.encode() + b'{"n":1}\n')
    with pytest.raises(RecordError, match=r"in.jsonl:2: .*\"n\" is not a number.*condition n "):
        kept(path, "n>1")
    rejects = Rejects(skip=True)
    found, keeping = kept(path, "n>1", rejects=rejects)
    assert (found, keeping.left_out, rejects.count) == ([good], 1, 1)


def test_what_an_earlier_condition_leaves_out_is_not_compared(source):
    with pytest.raises(RecordError, match=r"in.jsonl:1: no field \"ok\" \(fields: id, label"):
        kept(source, "ok>1")
    assert kept(source, "nothing", "label>1")[0] == []
    assert kept(source, "id=4", "label>1")[0] == [LINES[4]]
    # The first bad record is told, whichever condition it fails.
    with pytest.raises(RecordError, match=r"in.jsonl:1: .*\"label\""):
        kept(source, "id>=0", "label>3")


def test_unknown_fields(source):
    assert kept(source, "labl=human")[1].unknown == ["labl"]
    assert kept(source, "id<0", "labl=human")[1].unknown == []  # nobody was asked


def test_a_list_is_compared_as_a_whole(tmp_path):
    path = tmp_path / "tags.jsonl"
    path.write_text('{"tags": ["a", "b"]}\n{"tags": "a"}\n')
    done = run("cat", path, "--where", "tags=a")
    assert done.stdout == b'{"tags": "a"}\n'
    assert b"1 record; tags holds lists or objects, compared by all of their JSON" in done.stderr
    done = run("cat", path, "--where", 'tags~"a"')
    assert done.stdout == b'{"tags": ["a", "b"]}\n' and b"holds" not in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "!", "=a", "a==b", "!a=b", "a>", "a>x", "a<NaN", 'a="b', 'a="b"c', ">3"),
        *("!a~b", "a=~b", "a~~b", "a~=b", "a=>3", "a<>3", "a*=3", "a:=b", "a like b", "a is human"),
        *("a~(b", r"a~(b)\1", "a~(?=b)", r'a="\x"', "a!b", "a%b"),
    ],
)
def test_what_is_no_condition(text):
    with pytest.raises(ValueError):
        condition_of(text)


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab1 ,")


@given(VALUES, st.lists(st.text("ab1.", min_size=1), min_size=1, max_size=3))
def test_unlike_is_the_opposite_of_like(value, wanted):
    like, unlike = (condition_of(f"f{sign}{','.join(wanted)}") for sign in ("=", "!="))
    assert like.holds([value]) != unlike.holds([value])
    assert like.holds([MISSING]) == [False]
    if type(value) is str:
        assert like.holds([value]) == [value in wanted]


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False), st.integers(-9, 9))
def test_orders(value, number):
    found = [condition_of(f"f{sign}{number}").holds([value])[0] for sign in ("<", "<=", ">", ">=")]
    assert found == [value < number, value <= number, value > number, value >= number]


# ---------------------------------------------------------------- through the binary


def test_formats_counts_and_remarks(source, tmp_path):
    synth("cat", source, "-o", tmp_path / "in.parquet")
    for path in (source, tmp_path / "in.parquet"):
        done = run("cat", path, "--where", "label=human,7", "--count")
        assert done.stdout == b"2\n" and done.stderr == b"synth: --where left out 3 records\n"
    done = run("cat", source, "--where", "id>0", "--report", tmp_path / "r.json", "--quiet")
    assert done.stdout.splitlines() == LINES[1:] and done.stderr == b""
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["left_out"] == 1 and report["made_by"]["counts"]["written"] == 4
    done = run("cat", source, "--where", "labl=human")
    assert done.returncode == 0 and b'5 records; no record has a field "labl"' in done.stderr


def test_what_comes_after_the_head_was_not_left_out(source):
    done = run("cat", source, "--where", "id!=1,3,4", "--head", "2", "--set", "a=b")
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [0, 2]
    assert done.stderr == b"synth: --where left out 1 record\n"


def test_shards_hold_what_was_kept(tmp_path):
    lines = [b'{"id":%d}' % i for i in range(40)]
    data = b"".join(line + b"\n" for line in lines)
    options = ["--where", "id>=25", "-o", tmp_path / "out/", "--shard-size", 4]
    synth("cat", *options, input=data)
    assert synth("cat", tmp_path / "out").splitlines() == lines[25:]
