#!/usr/bin/env bash
# Trains the built-in model: human text in, the files of this folder out.
#
#   train.sh DATA WORK
#
# DATA holds human_*/*.jsonl.zst, records with `text`, or with `prompt` and `response`; WORK gets
# the training set, the held-out set and the model. Needs jq, zstd and xz besides synth.
set -euo pipefail

data=$(realpath "$1")
mkdir -p "$2"
cd "$2"

# Every hundredth record is held out; questions and answers become one text.
if [ ! -e held-out.jsonl ]; then
    for file in "$data"/human_*/*.jsonl.zst; do
        synth cat "$file"
    done |
        jq -c '{id, text: (.text // (.prompt + "\n\n" + .response))}' |
        awk 'NR % 100 == 0 { print > "held-out.partial"; next } { print }' |
        synth cat -o train.jsonl.zst --force
    mv held-out.partial held-out.jsonl
fi

synth train train.jsonl.zst --arch llama-prior --train-tokenizer 6144 --context 512 \
    --tokens 7.4M --batch 8 --lr 3e-3 --schedule wsd --warmup 53 --decay 400 --weight-decay 0.1 --compile \
    --save-dtype bfloat16 --seed 0 --checkpoint-every 250 --resume -o model

# The yardstick: bits per byte on the held-out text, beside two compressors that see all of it.
jq -j .text held-out.jsonl > held-out.txt
synth ppl held-out.jsonl --model model/ --summary --json > held-out.json
bytes=$(wc -c < held-out.txt)
echo "model     $(jq .bits_per_byte held-out.json) bits per byte"
echo "zstd -19  $(zstd -19 -c held-out.txt | wc -c | awk -v n="$bytes" '{ print 8 * $1 / n }')"
echo "xz -9e    $(xz -9e -c held-out.txt | wc -c | awk -v n="$bytes" '{ print 8 * $1 / n }')"
