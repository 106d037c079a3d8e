#!/usr/bin/env bash
# Human and synthetic text in five mixtures of equal size: what does the synthetic share do to a
# model's perplexity on human text? (How to Synthesize Text Data without Model Collapse?, figure 1)
#
#   mixtures.sh DATA WORK
#
# DATA holds human_*/*.jsonl.zst and synth_*/*.jsonl.zst, records with `text`, or with `prompt` and
# `response`. WORK gets the models, mixtures.tsv and mixtures.png; run again, it goes on where it stopped.
# Environment: TOKENS a model (300K), SEEDS ("0 1 2"), ARCH (llama-tiny), SHARES of synthetic text in
# percent ("0 25 50 75 100"). Needs jq besides synth.
set -euo pipefail

data=$(realpath "$1")
mkdir -p "$2"
cd "$2"
tokens=${TOKENS:-300K}
read -ra seeds <<< "${SEEDS:-0 1 2}"
read -ra shares <<< "${SHARES:-0 25 50 75 100}"
arch=${ARCH:-llama-tiny}
domains=(human_wikipedia_en_2015 human_peps human_novels_eltec human_textbooks_openstax)

# Of each domain, and of the answers, every fiftieth document is held out, forty at most.
split() { # NAME FILE…
    local name=$1
    shift
    [ -e "held/$name.jsonl" ] && return
    mkdir -p held human synthetic
    synth cat "$@" |
        jq -c '{id, text: (.text // (.prompt + "\n\n" + .response))}' |
        awk -v held="held/$name.partial" \
            'NR % 50 == 0 && n < 40 { print > held; n += 1; next } { print }' |
        synth cat -o "${kind:?}/$name.jsonl.zst" --force
    mv "held/$name.partial" "held/$name.jsonl"
}
for domain in "${domains[@]}"; do
    kind=human split "${domain#human_}" "$data/$domain"/*.jsonl.zst
done
kind=synthetic split answers "$data"/synth_alpaca_eval_outputs/*.jsonl.zst

mkdir -p models
valid=()
for file in held/*.jsonl; do
    name=$(basename "$file" .jsonl)
    valid+=(--valid "$name=$file")
done

for seed in "${seeds[@]}"; do
    for share in "${shares[@]}"; do
        model=models/$share-$seed
        [ -e "$model/report.json" ] && continue
        case $share in
            0) sources=(human) ;;
            100) sources=(synthetic) ;;
            *) sources=("human=$((100 - share))%" "synthetic=$share%") ;;
        esac
        synth train "${sources[@]}" --arch "$arch" --tokenizer builtin --context 256 --batch 16 \
            --tokens "$tokens" --lr 4e-3 --schedule cosine --seed "$seed" --cache tokens \
            "${valid[@]}" --resume -o "$model" > "models/$share-$seed.json"
        mv "models/$share-$seed.json" "$model/report.json"
    done
done

# A line a model: synthetic share, seed, perplexity on each held-out set.
{
    jq -r '["share", "seed", (.valid | keys[])] | @tsv' "models/${shares[0]}-${seeds[0]}/report.json"
    for share in "${shares[@]}"; do
        for seed in "${seeds[@]}"; do
            jq -r --arg share "$share" --arg seed "$seed" \
                '[$share, $seed, (.valid[] | (. * 100 | round) / 100)] | @tsv' "models/$share-$seed/report.json"
        done
    done
} > mixtures.tsv
column -t mixtures.tsv

# The same as curves: the mean of the seeds, and their range.
reports=() list=()
for share in "${shares[@]}"; do
    for seed in "${seeds[@]}"; do
        reports+=("models/$share-$seed/report.json")
        list+=("$share%")
    done
done
synth plot "${reports[@]}" --shares "$(IFS=,; echo "${list[*]}")" \
    -o mixtures.png --data mixtures.csv --force
