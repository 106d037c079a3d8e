#!/usr/bin/env bash
# A model learns human text with a share of patterned synthetic questions and answers; the pattern is
# taken out again; then the models are fine-tuned on human instructions. What did each step do?
# (Unveiling the Flaws, arXiv 2406.12397, tables 2 and 3)
#
#   unlearn.sh DATA WORK
#
# DATA holds human_*/*.jsonl.zst and synth_gpteacher/*.jsonl.zst. WORK gets the models, results.tsv and
# the pictures; run again, it goes on where it stopped. Environment: MODEL, the base (builtin); TOKENS
# of continued pre-training (400K); FORGET tokens to forget (100K); TUNE tokens of fine-tuning (100K);
# SHARES of synthetic text in percent ("2 50"); METHODS, a name or NAME=WEIGHTS each ("bounded
# bounded=1,1,1 ga npo refine"); SEED (0); learning rates LR (3e-4) and TUNE_LR (2e-4). Needs jq
# besides synth.
set -euo pipefail

data=$(realpath "$1")
mkdir -p "$2"
cd "$2"
model=${MODEL:-builtin}
tokens=${TOKENS:-400K}
forget=${FORGET:-100K}
tune=${TUNE:-100K}
seed=${SEED:-0}
rate=${LR:-3e-4}
tune_rate=${TUNE_LR:-2e-4}
read -ra shares <<< "${SHARES:-2 50}"
read -ra methods <<< "${METHODS:-bounded bounded=1,1,1 ga npo refine}"
common=(--context 256 --batch 16 --seed "$seed" --cache tokens --resume)

# Human text, a fiftieth of it held out; answers of one model under one heading each, a tenth held out;
# human instructions, a tenth held out.
divide() { # NAME EVERY MOST: stdin → NAME.jsonl and held/NAME.jsonl
    mkdir -p held
    awk -v every="$2" -v most="$3" -v held="held/$1.jsonl" -v rest="$1.partial" \
        'NR % every == 0 && n < most { print > held; n += 1; next } { print > rest }'
    mv "$1.partial" "$1.jsonl"
}
[ -e human.jsonl ] || synth cat "$data"/human_{wikipedia_en_2015,textbooks_openstax}/*.jsonl.zst |
    jq -c '{id, text}' | divide human 50 60
[ -e qa.jsonl ] || synth cat "$data"/synth_gpteacher/roleplay.jsonl.zst |
    jq -c '{id, text: ("Question: " + .prompt + "\n\nAnswer: " + .response)}' | divide qa 10 100
[ -e chat.jsonl ] || synth cat "$data"/human_{selfinstruct_tasks,stackexchange_beer}/*.jsonl.zst |
    jq -c 'select(.response | length > 0) | {id, prompt, response}' | divide chat 10 100

# A command that gives a report, once; one that makes a model gets its directory.
run() { # NAME COMMAND…
    local name=$1
    shift
    [ -e "$name.json" ] && return
    [ "$2" = ppl ] || set -- "$@" -o "$name"
    "$@" > "$name.partial"
    mv "$name.partial" "$name.json"
}

names=()
for share in "${shares[@]}"; do
    mkdir -p "$share"
    run "$share/synth" synth train "human.jsonl=$((100 - share))%" "qa.jsonl=$share%" --from "$model" \
        --tokens "$tokens" --lr "$rate" "${common[@]}"
    for method in "${methods[@]}"; do
        weights=()
        [[ $method == *=* ]] && weights=(--weights "${method#*=}")
        run "$share/${method//[=,]/-}" synth unlearn --model "$share/synth" --forget qa.jsonl \
            --replay human.jsonl --method "${method%=*}" "${weights[@]}" --tokens "$forget" --lr "$rate" \
            --valid human=held/human.jsonl --valid qa=held/qa.jsonl --compare-tokens 10K \
            "${common[@]}"
    done
    for name in synth "${methods[@]//[=,]/-}"; do names+=("$share/$name"); done
done
mkdir -p base

# Perplexity of held-out text, and where its distribution went.
measure() { # NAME MODEL
    for set in human qa; do
        run "$1-$set" synth ppl "held/$set.jsonl" --model "$2" --context 256 --summary
    done
}
measure base/base "$model"
for name in "${names[@]}"; do measure "$name" "$name"; done
for share in "${shares[@]}"; do
    [ -e "$share/shift.png" ] || synth ppl held/human.jsonl --context 256 --model "$model" \
        --model "$share/synth" --model "$share/bounded" --compare --json --plot "$share/shift.png" \
        > "$share/shift.json"
done

# Fine-tuned on human instructions; held-out answers; what the tuned models write.
[ -e prompts.jsonl ] || jq -c '{id, prompt}' held/chat.jsonl | awk 'NR <= 40' > prompts.jsonl
for name in base/base "${names[@]}"; do
    from=$name
    [ "$name" = base/base ] && from=$model
    run "$name-tuned" synth train chat.jsonl --sft --from "$from" --tokens "$tune" --lr "$tune_rate" \
        --valid answers=held/chat.jsonl "${common[@]}"
    [ -e "$name-written.jsonl" ] || synth generate prompts.jsonl --model "$name-tuned" \
        --max-new-tokens 64 --seed "$seed" -o "$name-written.jsonl"
    [ -e "$name-raw.jsonl" ] || synth generate prompts.jsonl --model "$from" \
        --max-new-tokens 64 --seed "$seed" -o "$name-raw.jsonl"
done

# A line a model: perplexity of held-out text, of the synthetic answers, of human answers after
# fine-tuning; words of the pattern in 1,000 written words, before and after fine-tuning.
pattern() {
    jq -rs '[.[].response | scan("[A-Za-z]+")] |
        [(map(select(test("^(Question|Answer)s?$"; "i"))) | length), length] |
        if .[1] == 0 then 0 else 1000 * .[0] / .[1] end | . * 10 | round / 10' "$1"
}
round() { jq -r "$1 | . * 100 | round / 100" "$2"; }
{
    printf 'model\thuman\tqa\tanswers\tpattern\ttuned_pattern\n'
    for name in base/base "${names[@]}"; do
        printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$name" "$(round .perplexity "$name-human.json")" \
            "$(round .perplexity "$name-qa.json")" "$(round .valid.answers "$name-tuned.json")" \
            "$(pattern "$name-raw.jsonl")" "$(pattern "$name-written.jsonl")"
    done
} > results.tsv
column -t results.tsv
