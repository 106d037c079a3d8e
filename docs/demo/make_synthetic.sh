#!/usr/bin/env bash
# Made src/synthtools/records/sample.jsonl: SmolLM2-135M writes on the topics of the human sample, one answer a topic,
# none chosen or left out.
set -euo pipefail
cd "$(dirname "$0")"
python3 human.py | synth generate --model smollm2 --dtype bfloat16 --seed 0 --max-new-tokens 256 \
    --template 'Write the section "{id}" of a reference manual of the Python programming language.' |
    synth cat --text '{response}' --select id,text -o ../../src/synthtools/records/sample.jsonl --force
