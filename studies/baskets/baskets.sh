#!/usr/bin/env bash
# Four models of different families and sizes answer the same prompts, each alone and a quarter each;
# a base model is fine-tuned on each set, and on human answers. Diversity of the sets, perplexity of
# human answers, and which answers each tuned model prefers.
# (Synthetic Eggs in Many Baskets, arXiv 2511.01490)
#
#   baskets.sh DATA WORK
#
# DATA holds human_*/*.jsonl.zst and eval_alpaca_eval_prompts/prompts.jsonl.zst. WORK gets the models
# and the tables; run again, it goes on where it stopped. Environment: SOURCES, architectures of the
# four ("llama-tiny gpt2-tiny gpt-neox-tiny qwen3-tiny"); TOKENS of each one's pre-training (300K); BASE,
# the model that is tuned (builtin); TUNE tokens of tuning (60K); PROMPTS (637); NEW tokens of an
# answer (64); SEED (0). Needs jq besides synth.
set -euo pipefail

data=$(realpath "$1")
mkdir -p "$2"
cd "$2"
read -ra sources <<< "${SOURCES:-llama-tiny gpt2-tiny gpt-neox-tiny qwen3-tiny}"
tokens=${TOKENS:-300K}
base=${BASE:-builtin}
tune=${TUNE:-60K}
prompts=${PROMPTS:-637}
new=${NEW:-64}
seed=${SEED:-0}

# A command that gives a report, once; one that makes a model gets its directory.
run() { # NAME COMMAND…
    local name=$1
    shift
    [ -e "$name.json" ] && return
    [ "$2" = train ] && set -- "$@" -o "$name"
    "$@" > "$name.partial"
    mv "$name.partial" "$name.json"
}

# Human text for the four; human instructions with answers, every tenth held out.
[ -e human.jsonl.zst ] || synth cat "$data"/human_{wikipedia_en_2015,textbooks_openstax,peps}/*.jsonl.zst |
    jq -c '{id, text}' | synth cat -o human.jsonl.zst
if [ ! -e held.jsonl ]; then
    synth cat "$data"/human_{selfinstruct_tasks,stackexchange_beer}/*.jsonl.zst |
        jq -c 'select(.response | length > 0) | {id, prompt, response, model: "human"}' |
        awk 'NR % 10 == 0 && n < 100 { print > "held.partial"; n += 1; next }
             { print > "answers-human.jsonl" }'
    mv held.partial held.jsonl
fi
[ -e prompts.jsonl ] ||
    synth cat "$data"/eval_alpaca_eval_prompts/prompts.jsonl.zst | jq -c '{id, prompt}' |
    awk -v most="$prompts" 'NR <= most' > prompts.jsonl

names=()
for arch in "${sources[@]}"; do
    run "$arch" synth train human.jsonl.zst --arch "$arch" --tokenizer "$base" --context 256 \
        --batch 16 --tokens "$tokens" --lr 4e-3 --schedule cosine --seed "$seed" --cache tokens \
        --resume
    names+=(--model "$arch")
done

# Each alone, and a quarter each; a prompt that leaves no room is left out, and counted.
ask=(synth generate prompts.jsonl --max-new-tokens "$new" --seed "$seed" --on-error skip)
[ -e single.jsonl ] || "${ask[@]}" "${names[@]}" --assign single -o single.jsonl
[ -e answers-four.jsonl ] || "${ask[@]}" "${names[@]}" --assign stratified -o answers-four.jsonl
first=${sources[0]}
[ -e answers-one.jsonl ] ||
    jq -c --arg model "$first" 'select(.model == $model)' single.jsonl > answers-one.jsonl

sets=(human one four)
for set in "${sets[@]}"; do
    # An answer of nothing teaches nothing: it is left out, and counted.
    run "tuned-$set" synth train "answers-$set.jsonl" --sft --from "$base" --tokens "$tune" \
        --context 256 --batch 16 --lr 2e-4 --seed "$seed" --valid answers=held.jsonl --cache tokens \
        --on-error skip --resume
    jq -c --arg set "$set" '{id, prompt, response, set: $set}' "answers-$set.jsonl"
done > sets.jsonl

# How diverse are the sets: in words, on as many each, and in meaning, by the base model's vectors?
run diversity synth stats sets.jsonl --text-field response --by set --match-words min \
    --vector-model "$base"

# Which answers does each tuned model prefer: its own, another's, a human's?
for set in "${sets[@]}"; do
    [ -e "written-$set.jsonl" ] || jq -c '{id, prompt}' held.jsonl | synth generate - --model "tuned-$set" \
        --max-new-tokens "$new" --seed "$seed" --on-error skip -o "written-$set.jsonl"
done
cat held.jsonl written-*.jsonl > written.jsonl
for set in "${sets[@]}"; do
    run "preference-$set" synth eval "tuned-$set" --suite self-preference --answers written.jsonl \
        --target "tuned-$set" --seed "$seed"
done

{
    printf 'set\tanswers\tppl\theaps\tlexical\tsemantic\tspb\tpsb\n'
    for set in "${sets[@]}"; do
        jq -r --arg set "$set" --slurpfile tuned "tuned-$set.json" --slurpfile own "preference-$set.json" '
            def short: if type == "number" then . * 1000 | round / 1000 else . // "–" end;
            .groups[] | select(.name == $set) |
            [$set, .documents, $tuned[0].valid.answers, .heaps.beta, .lexical_diversity.pooled,
             .semantic_diversity.value,
             ($own[0].suites["self-preference"].figures | .spb, .psb)] |
            map(short) | @tsv' diversity.json
    done
} > results.tsv
column -t results.tsv
