#!/usr/bin/env bash
# The four pictures of human against model-written text: perplexity, hashed n-grams, probabilities of
# tokens, and a map. (How to Synthesize Text Data without Model Collapse?, section 2)
#
#   pictures.sh DATA WORK
#
# DATA holds pairs_outfox_essays/*.jsonl.zst: essays of students and of three models on the same
# questions, records with `response`, `label` (human or synthetic) and `model`. WORK gets the two
# samples, four PNG files with their reports, tables of stats, and page.html. Environment: DOCUMENTS of
# each side that the model reads (200), ESSAYS of each side (500). Needs jq besides synth.
set -euo pipefail

data=$(realpath "$1")
mkdir -p "$2"
cd "$2"
documents=${DOCUMENTS:-200}
essays=${ESSAYS:-500}

# As many of either side, and as many of each model.
for label in human synthetic; do
    synth cat "$data"/pairs_outfox_essays/*.jsonl.zst |
        jq -c --arg side "$label" 'select(.label == $side) | {id, model, text: .response}' |
        synth sample -n "$essays" --stratify-by model --allocation equal -o "$label.jsonl" --force
    synth sample "$label.jsonl" -n "$documents" --stratify-by model --allocation equal \
        -o "$label-few.jsonl" --force
done

# 1. Does the model-written text cover the human range of perplexity?
synth ppl human-few.jsonl synthetic-few.jsonl --compare --plot perplexity.png > perplexity.json
# 2. Are its n-grams concentrated?
synth ngram-hash human.jsonl synthetic.jsonl --compare --top 40 --plot ngrams.png > ngrams.json
# 3. How probable are the tokens of human text? (what ToEdit edits)
synth ppl human-few.jsonl --summary --plot tokens.png > tokens.json
# 4. Do the two lie apart?
synth embed human-few.jsonl synthetic-few.jsonl --map --plot map.png > map.json

# Numbers beside them: diversity over equal amounts of text, tokens that stand out.
synth stats human.jsonl synthetic.jsonl --match-words min --tokenizer builtin \
    --plot diversity.png > stats.json
synth plot perplexity.json ngrams.json tokens.json map.json stats.json -o page.html --force

jq -c '.pairs[0] | {overlap, left_above_maximum, left_above_p99, range_covered, js, variance_ratio}' \
    perplexity.json
jq -c '.inputs[] | [.name, .ngrams, .effective_buckets, .gini, .top_1_percent]' ngrams.json
jq -c '[.token_probability.shares[] | . * 1000 | round / 10]' tokens.json
jq -c '.pairs[0] | [.knn_accuracy, .coverage, .energy_coefficient] | map([.value, .expected, .p_value])' \
    map.json
jq -c '.groups[] | [.name, .heaps.beta, .vocabulary.mtld, .lexical_diversity.pooled]' stats.json
jq -c '.over_represented_tokens[] | [.group, .tokens[:20][].token]' stats.json
