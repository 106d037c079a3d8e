#!/usr/bin/env bash
# The main job on real text: human text, edited token by token by the built-in model, and the
# distribution of its perplexity before and after. The text is on every machine that has Python:
# the topics of its own documentation.
set -euo pipefail

mkdir -p demo
synth cat builtin:topics --head 24 -o demo/human.jsonl --force

echo '$ synth ppl human.jsonl --summary'
synth ppl demo/human.jsonl --summary
echo
# The built-in model is small and seldom certain: at the paper's 0.99 it would flag one token in a thousand.
echo '$ synth edit --threshold 0.9 human.jsonl | synth ppl --summary'
synth edit --threshold 0.9 demo/human.jsonl --report demo/edit.json | synth ppl --summary
echo
python3 - << 'PYTHON'
import json

row = json.load(open("demo/edit.json"))["generations"][0]
print(
    f"{row['tokens']:,} tokens, {row['flagged']:,} of them of probability 0.9 or more "
    f"({100 * row['flagged_share']:.1f} %), {row['changed']:,} became another token"
)
PYTHON
