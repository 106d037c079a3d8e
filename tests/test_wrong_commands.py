"""Wrong command lines, as people type them: one line that holds the remedy, exit code 2 (usage) or 1 (data),
and no model is loaded for it."""

import shlex

import pytest

from running import one_line, run

FILES = {
    "a.jsonl": b'{"id":1,"text":"One text."}\n{"id":2,"text":"Another."}\n',
    "b.jsonl": b'{"body":"no text"}\n',
    "c.jsonl": b'{"messages":[{"role":"user","content":"Hi"}]}\n',
    "there.jsonl": b'{"text":"mine"}\n',
    "t.csv": b"text,label\nx,1\nmore,2,3\n",
    "twice.csv": b"text,text\nx,y\n",
    "w.csv": b"text\ncaf\xe9\n",
    "u.csv": b"\xff\xfet\0e\0x\0t\0",
    "cut.json": b'[{"text":"x"},',
    "s.xlsx": b"PK\x03\x04and so on",
    "r.json": b'{"kind":"stats","made_by":{}}\n',
}
# (command line, exit code, what its one line says)
WRONG = [
    ("trian a.jsonl", 2, "Did you mean 'train'?"),
    ("ppl missing.jsonl", 1, "missing.jsonl: No such file"),
    ("ppl b.jsonl", 1, 'b.jsonl:1: no field "text" (fields: body; use --text-field)'),
    (
        "ngram-hash c.jsonl",
        1,
        "use --text-field 'messages[-1].content', the answer of messages (Op",
    ),
    ("ppl a.jsonl b.jsonl", 1, "b.jsonl:1: no field"),
    ("ppl a.jsonl --text-field txt", 1, 'no field "txt" (fields: id, text'),
    ("ppl a.jsonl --modle builtin", 2, "near it: --model"),
    ("ppl a.jsonl --device cuda", 2, "near it: --devices"),
    ("ppl a.jsonl --stride 100000", 2, "at most 511"),
    ("ppl a.jsonl --dtype float8", 2, "use auto, float32, bfloat16 or float16"),
    ("ppl a.jsonl --model ./nowhere", 1, "./nowhere: no such model directory (a model is builtin,"),
    ("ppl a.jsonl --model nowhere/", 1, "nowhere/: no such model directory (a model is builtin,"),
    ("ppl a.jsonl --compare", 2, "needs two inputs or more"),
    ("ppl a.jsonl --summary --tokens", 2, "are for records, not reports"),
    ("ppl a.jsonl -o out.xls", 2, "use .jsonl, .jsonl.gz"),
    ("ppl a.jsonl -o there.jsonl", 1, "--force replaces it"),
    ("ppl a.jsonl -o none/out.jsonl", 1, "none/out.jsonl: directory none does not exist"),
    ("ppl a.jsonl --plot p.gif", 2, "name a .png or .svg file"),
    ("ppl a.jsonl --shape sharegpt", 2, "use messages, conversations, "),
    ("ppl s.xlsx", 1, "export it as CSV"),
    ("ppl empty/", 1, "no shards in this directory (looked for *.jsonl"),
    ("cat t.csv --count", 1, "t.csv:3: 3 values where the header names 2"),
    ("cat twice.csv", 1, 'twice.csv:1: two columns have the name "text"'),
    ("cat w.csv", 1, "w.csv:2: bytes that are not UTF-8; --encoding cp1252"),
    ("cat u.csv", 1, "--encoding utf-16 reads it"),
    ("cat cut.json --count", 1, "cut.json: truncated"),
    ("cat t.csv --encoding latin9000", 2, "not an encoding (examples: cp1252"),
    ("cat a.jsonl --split lines", 2, "for plain text (.txt, .md)"),
    ("cat a.jsonl --input-format xml", 2, "use jsonl, json, csv, tsv or text"),
    ("cat a.jsonl --where 'text~('", 2, "use an expression of RE2"),
    ("cat a.jsonl --where 'id>>3'", 2, "compare with a number"),
    ("cat a.jsonl --select id,missing", 1, 'no field "missing" (fields: id, text'),
    ("cat a.jsonl --select id,id", 2, "name different fields"),
    ("cat a.jsonl --head many", 2, "give a whole number, at least 0"),
    ("cat a.jsonl --shape messages", 1, "no chat and no instruction (fields: id, text)"),
    ("cat a.jsonl --rejects r.jsonl", 2, "--rejects needs --on-error skip"),
    ("cat a.jsonl -o a.jsonl", 1, "is both input and output"),
    ("cat a.jsonl -o x.json", 2, "name it x.jsonl"),
    ("edit a.jsonl --threshold 99%", 2, "write it as 0.99"),
    ("edit a.jsonl --treshold 0.9", 2, "near it: --threshold"),
    ("sample a.jsonl", 2, "--count is missing: How many records"),
    (
        "unlearn builtin a.jsonl",
        2,
        "no operand is expected: builtin a.jsonl; a model is named by --model",
    ),
    ("simulate sums", 2, "simulate: no operand is expected: sums (see synth simulate --help)"),
    ("fit r.json", 2, "--law is missing: "),
    ("plot", 2, "plot: REPORT is missing: "),
    (
        "ppl builtin a.jsonl",
        1,
        "builtin:sample and builtin:topics are texts, builtin alone is a model",
    ),
    ("edit model/ a.jsonl", 1, "model/: a model, not a directory of records"),
    ("sample a.jsonl -n 3 --by score", 1, 'no field "score" (fields: id, text; use --by)'),
    ("mix a.jsonl", 2, "write SOURCE=SHARE"),
    ("mix a.jsonl=0.5 b.jsonl=0.6", 2, "the shares sum to 1.1, not to 1"),
    ("dsir a.jsonl -n 1", 2, "--target PATH"),
    ("stats a.jsonl --measures word", 2, "use lengths, vocabulary, "),
    ("stats a.jsonl --jobs 0", 2, "give a whole number, at least 1"),
    ("train a.jsonl", 2, "it needs -o DIR"),
    ("train a.jsonl -o m", 2, "needs --train-tokenizer SIZE or --tokenizer MODEL"),
    ("train a.jsonl -o m --tokenizer builtin --arch bert", 2, "use one of llama-tiny"),
    ("generate a.jsonl", 1, 'no field "prompt" (fields: id, text; use --prompt-field'),
    ("generate a.jsonl --style rap", 2, "use wrap-easy, "),
    ("eval builtin", 2, "--suite NAME"),
    ("eval builtin --suite arc", 2, "there are perplexity, "),
    ("diff r.json", 2, "name two reports or more"),
    ("plot a.jsonl", 1, "a.jsonl:1: neither a report"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "empty").mkdir()
    (folder / "model").mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / "model" / name).write_text("{}")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("words, code, remedy", WRONG, ids=[words for words, *_ in WRONG])
def test_one_line_with_the_remedy(words, code, remedy, folder):
    before = sorted(path.name for path in folder.iterdir())
    result = run(*shlex.split(words), cwd=folder)
    assert remedy in one_line(result, code)
    assert not result.stdout
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / "there.jsonl").read_bytes() == FILES["there.jsonl"]
