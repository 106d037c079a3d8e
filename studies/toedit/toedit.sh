#!/usr/bin/env bash
# How to Synthesize Text Data without Model Collapse? (arXiv 2412.14689): what a share of synthetic text
# in pre-training does to perplexity on human text, in what synthetic text differs, and what token-level
# editing makes of human text.
#
#   toedit.sh [OPTION]…
#
# DIR of --data holds human_{wikipedia_en_2015,peps,novels_eltec,textbooks_openstax}/,
# human_selfinstruct_tasks/, human_stackexchange_beer/, synth_alpaca_eval_outputs/ and
# pairs_outfox_essays/: records with `text`, or with `prompt` and `response`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR/..
. "$here/../steps.sh"
options "$here" "$@"

#       name         toy          small        paper
setting shares       "0 25 50 75 100" "0 25 50 75 100" "0 25 50 75 100"
setting arch         llama-tiny   llama-tiny   gpt2
setting parameters   1.2M         1.1M         124M
setting tokens       40K          330K         8.4B
setting context      256          256          1024
setting rate         4e-3         4e-3         6e-4
setting prior        builtin      smollm2      meta-llama/Meta-Llama-3-8B
setting prior_size   4.8M         135M         8B
setting threshold    0.6          0.99         0.99
setting base         builtin      builtin      allenai/OLMo-1B-hf
setting base_size    4.8M         4.8M         1.2B
setting further      12K          12K          1B
setting selection    300          300          1000000
setting further_rate 3e-4         3e-4         5e-5
setting many         300          300          1000000
setting few          45           45           2000
setting held         12           12           2000
setting pool         100          100          5000000
setting documents    600          600          5000000
setting batch        16           16           512
paper_data "Dolma as human_*/ (its sources are the domains), Cosmopedia as synth_alpaca_eval_outputs/," \
    "BioMed and finance as further domains, human instructions as human_selfinstruct_tasks/"
settled

# ---------------------------------------------------------------- texts

# One source each of human text, of synthetic text, of human instructions; a part of each held out.
whole() { # DIR [FIELD]: as many documents of each source
    synth sample "$1" -n "$documents" --or-all --text-field "${2:-text}" |
        synth cat --text '{text}' --text '{prompt}\n\n{response}' --select id,text
}
continued() {
    synth sample builtin:topics -n "$documents" --or-all | synth generate - --continue 48 --max-new-tokens 160 -n 4 |
        synth cat --text '{beginning}{response}' --select text
}
told() { synth cat "$@" --where response --where prompt --select id,prompt,response; }
asked() { synth cat builtin:topics --set 'prompt=Explain this.' --text '{text}' --text-field response --select id,prompt,response; }

if [ -n "$data" ]; then
    domains=(wikipedia peps novels textbooks)
    step all/wikipedia.jsonl whole "$data/human_wikipedia_en_2015"
    step all/peps.jsonl whole "$data/human_peps"
    step all/novels.jsonl whole "$data/human_novels_eltec"
    step all/textbooks.jsonl whole "$data/human_textbooks_openstax"
    step all/answers.jsonl whole "$data/synth_alpaca_eval_outputs" response
    step all/chat.jsonl told "$data/human_selfinstruct_tasks" "$data/human_stackexchange_beer"
    step essays/human.jsonl synth cat "$data/pairs_outfox_essays" --where label=human --text '{response}' --select id,text
    step essays/synthetic.jsonl synth cat "$data/pairs_outfox_essays" --where label=synthetic --text '{response}' --select id,text
else
    domains=(topics)
    step all/topics.jsonl whole builtin:topics
    costs write "$prior_size" 50K
    step all/answers.jsonl continued
    step all/chat.jsonl asked
    step essays/human.jsonl synth cat all/topics.jsonl
    step essays/synthetic.jsonl synth sample all/answers.jsonl -n "$documents" --or-all
fi

# Of each some documents are held out, the same for all seeds.
valid=()
for name in "${domains[@]}" answers chat; do
    case $name in
        answers) place=texts field=text ;;
        chat) place=texts field=response ;;
        *) place=texts/human field=text ;;
    esac
    step "held-out/$name.jsonl" synth sample "all/$name.jsonl" -n "$held" --or-all --text-field "$field" \
        --rest "$place/$name.jsonl" --force
    [ "$name" = chat ] || valid+=(--valid "$name=held-out/$name.jsonl")
done
held_out=("${domains[@]/#/held-out/}")
for model in $(printf '%s\n' "$prior" "$base" | sort -u); do tell_trained "$model" "${held_out[@]/%/.jsonl}"; done
last=${domains[-1]}

# ---------------------------------------------------------------- 1. mixtures, and a selection

scratch=(--arch "$arch" --tokenizer builtin --context "$context" --batch "$batch" --tokens "$tokens"
    --lr "$rate" --schedule cosine --cache tokens)

mixtures() {
    local share sources selected=texts/selected-$seed.jsonl
    for share in $shares; do
        case $share in
            0) sources=(texts/human) ;;
            100) sources=(texts/answers.jsonl) ;;
            *) sources=("texts/human=$((100 - share))%" "texts/answers.jsonl=$share%") ;;
        esac
        costs train "$parameters" "$tokens"
        step "mixtures/$share-$seed/" synth train "${sources[@]}" "${scratch[@]}" "${valid[@]}" --seed "$seed"
    done
    # Does it help to select what is most like human text?
    step "$selected" synth dsir texts/answers.jsonl --target texts/human -n "$selection" --seed "$seed"
    costs train "$parameters" "$tokens"
    step "mixtures/selected-$seed/" synth train "$selected" "${scratch[@]}" "${valid[@]}" --seed "$seed"
}

# ---------------------------------------------------------------- 2. human and synthetic text

differences() {
    local side
    for side in human synthetic; do
        step "essays/$side-$seed.jsonl" synth sample "essays/$side.jsonl" -n "$few" --or-all --seed "$seed"
        step "essays/$side-many-$seed.jsonl" synth sample "essays/$side.jsonl" -n "$many" --or-all --seed "$seed"
    done
    costs read "$prior_size" "$((few * 1600))"
    step "essays/perplexity-$seed.json" synth ppl "essays/human-$seed.jsonl" "essays/synthetic-$seed.jsonl" \
        --model "$prior" --compare --bootstrap 0
    costs read "$prior_size" "$((few * 800))"
    step "essays/tokens-$seed.json" synth ppl "essays/human-$seed.jsonl" --model "$prior" --summary
    step "essays/ngrams-$seed.json" synth ngram-hash "essays/human-many-$seed.jsonl" \
        "essays/synthetic-many-$seed.jsonl" --compare --top 40
    costs read "$prior_size" "$((few * 1600))"
    step "essays/map-$seed.json" synth embed "essays/human-$seed.jsonl" "essays/synthetic-$seed.jsonl" \
        --model "$prior" --max-tokens 256 --map --method pca
}

# ---------------------------------------------------------------- 3. edited text

edited() {
    local kind prefix from=texts/pool-$seed.jsonl domain=texts/domain-$seed.jsonl talk=texts/talk-$seed.jsonl
    step "$from" synth sample texts/human -n "$pool" --or-all --seed "$seed"
    step "$domain" synth sample "texts/human/$last.jsonl" -n "$((pool / 2))" --or-all --seed "$seed"
    step "$talk" synth sample texts/chat.jsonl --text-field response -n "$((pool * 4))" --or-all --seed "$seed"
    for kind in pool domain talk; do
        costs read "$prior_size" "$further"
        step "texts/edited-$kind-$seed.jsonl" synth edit "texts/$kind-$seed.jsonl" --model "$prior" \
            --threshold "$threshold" --seed "$seed" --text-field "$([ $kind = talk ] && echo response || echo text)"
    done
    for kind in source edited; do
        [ $kind = source ] && prefix='' || prefix=edited-
        costs train "$parameters" "$tokens"
        step "stages/scratch-$kind-$seed/" synth train "texts/${prefix}pool-$seed.jsonl" "${scratch[@]}" \
            --epochs 100 "${valid[@]}" --seed "$seed"
        costs train "$base_size" "$further"
        step "stages/continued-$kind-$seed/" synth train "texts/${prefix}domain-$seed.jsonl" --from "$base" \
            --tokens "$further" --context "$context" --batch "$batch" --lr "$further_rate" --cache tokens \
            "${valid[@]}" --seed "$seed"
        costs train "$base_size" "$further"
        step "stages/tuned-$kind-$seed/" synth train "texts/${prefix}talk-$seed.jsonl" --sft --from "$base" \
            --tokens "$further" --context "$context" --batch "$batch" --lr "$further_rate" --cache tokens \
            --valid chat=held-out/chat.jsonl --seed "$seed"
    done
}

# ---------------------------------------------------------------- 4. thresholds, samplers, generations

rules() {
    local rule words some=texts/few-$seed.jsonl scores=texts/scores-$seed.arrow
    step "$some" synth sample texts/human -n "$((few / 3))" --or-all --seed "$seed"
    costs read "$prior_size" "$((few * 500))"
    step "$scores" synth ppl "$some" --model "$prior" --candidates 64 --format arrow
    while read -r rule words; do
        read -ra words <<< "$words"
        step "edits/$rule/$seed.jsonl" synth edit "$some" --scores "$scores" "${words[@]}" --seed "$seed" \
            --report "edits/$rule/$seed.json" --force
    done << RULES
at-0.999 --threshold 0.999
at-0.99 --threshold 0.99
at-0.9 --threshold 0.9
at-$threshold-k4 --threshold $threshold --top-k 4
at-$threshold --threshold $threshold
at-$threshold-k16 --threshold $threshold --top-k 16
at-$threshold-top-p --threshold $threshold --top-p 0.99
at-$threshold-rejection --threshold $threshold --rejection authors
at-$threshold-β1 --threshold $threshold --temperature 1
below-0.1 --below 0.1
below-0.01 --below 0.01
below-0.001 --below 0.001
RULES
    costs read "$prior_size" "$((few * 1500))"
    step "edits/thrice/$seed.jsonl" synth edit "$some" --model "$prior" --threshold "$threshold" \
        --generations 3 --seed "$seed" --report "edits/thrice/$seed.json" --force
}

# ---------------------------------------------------------------- 5. the linear model

theory() {
    step "theory-$seed.json" synth simulate --generations 10 --seed "$seed"
}

study() {
    mixtures
    differences
    edited
    rules
    theory
}
each_seed study

# ---------------------------------------------------------------- tables

remember names "${domains[*]}"
read -ra domains <<< "$names"
last=${domains[-1]}
takes=()
for name in "${domains[@]}" answers; do takes+=(--take "$name=valid.$name"); done

# The mean log perplexity of human text: over the domains, of one group.
human() {
    local name list=''
    for name in "${domains[@]}"; do list+="${list:+, }log(${name}[$1])"; done
    echo "mean($list)"
}

read -ra list <<< "$shares"
none=${list[0]} some=${list[1]} half=${list[${#list[@]} / 2]} all=${list[-1]}
gather mixtures 'mixtures/{share}-{seed}/training/report.json' "${takes[@]}"
each=()
for name in "${domains[@]}"; do
    each+=(--claim "$name: harder without human text than without synthetic text: ${name}[share=$none] < ${name}[share=$all]")
done
table mixtures --by share --over seed --columns "$(IFS=,; echo "${domains[*]}"),answers" \
    --claim "Log perplexity of human text rises from $none to $half to $all % synthetic: $(human "share=$none") < $(human "share=$half") < $(human "share=$all")" \
    --claim "Already $some % raise it: $(human "share=$none") < $(human "share=$some")" \
    --claim "Without human text it is higher than without synthetic text: $(human "share=$none") < $(human "share=$all")" \
    "${each[@]}" \
    --claim "Synthetic text selected by DSIR does not replace human text: $(human "share=$none") < $(human share=selected)" \
    --claim "Selection by DSIR is better than none: $(human share=selected) < $(human "share=$all")"

gather differences 'essays/perplexity-{seed}.json' 'essays/tokens-{seed}.json' 'essays/ngrams-{seed}.json' \
    'essays/map-{seed}.json' \
    --take 'human_median=inputs[0].median@*perplexity*' --take 'synthetic_median=inputs[1].median@*perplexity*' \
    --take 'overlap=pairs[0].overlap' --take 'above=pairs[0].left_above_p99' \
    --take 'human_buckets=inputs[0].effective_buckets@*ngrams*' \
    --take 'synthetic_buckets=inputs[1].effective_buckets@*ngrams*' \
    --take 'p_low=token_probability.shares[0]' --take 'p_middle=token_probability.shares[5]' \
    --take 'p_high=token_probability.shares[9]' \
    --take 'neighbours=pairs[0].knn_accuracy.value' --take 'by_chance=pairs[0].knn_accuracy.expected'
table differences --by '' --over seed \
    --claim 'Human text is the harder: human_median > synthetic_median' \
    --claim 'Synthetic text leaves out the human tail (more than 5 % of human text above its 99th percentile): above > 0.05' \
    --claim 'N-grams of synthetic text fill fewer buckets: synthetic_buckets < human_buckets' \
    --claim 'Probabilities of human tokens make a U: p_low > p_middle < p_high' \
    --claim 'Human and synthetic text lie apart (nearest neighbours): neighbours > by_chance'

gather stages 'stages/{stage}-{text}-{seed}/training/report.json' "${takes[@]}" --take chat=valid.chat
table stages --by stage,text --over seed \
    --claim "Edited text is the better to pre-train on: $(human stage=scratch,text=edited) < $(human stage=scratch,text=source)" \
    --claim "Edited text is the better to continue on (the domain, $last): ${last}[stage=continued,text=edited] < ${last}[stage=continued,text=source]" \
    --claim "Edited answers are the better to tune on: chat[stage=tuned,text=edited] < chat[stage=tuned,text=source]"

gather edits 'edits/{rule}/{seed}.json' --take 'flagged=generations[0].flagged_share' \
    --take 'changed=generations[0].changed_share' --take 'second=generations[1].flagged_share' \
    --take 'third=generations[2].flagged_share'
table edits --by rule --over seed \
    --claim "Most draws return the token that stood there (at most 8.21 % of the flagged change at 0.99, k = 8, β = 1.5): changed[rule=at-0.99] <= 0.0821 * flagged[rule=at-0.99]" \
    --claim 'Each generation of edits flags fewer tokens: flagged[rule=thrice] > second[rule=thrice] > third[rule=thrice]'

gather theory 'theory-{seed}.json' \
    --take 'replace=workflows[workflow=replace].simulated[9]' \
    --take 'accumulate=workflows[workflow=accumulate].simulated[9]' \
    --take 'subsample=workflows[workflow=accumulate-subsample].simulated[9]' \
    --take 'edit=workflows[workflow=edit].simulated[9]' \
    --take 'ten=workflows[workflow=replace].paper[9]' \
    --take 'pi_squared_sixth=workflows[workflow=accumulate].bound' \
    --take 'two=workflows[workflow=edit].bound'
table_of_theory theory --by '' --over seed --columns replace,accumulate,subsample,edit \
    --claim 'Training on the last model alone: the error after ten generations is ten times that of the first (within 5 %): replace = ten ± 5 %' \
    --claim 'Editing stays below it: edit < replace' \
    --claim "The error of editing stays below twice the first model's, the bound of theorem 2: edit < two" \
    --claim 'Accumulating stays below π²/6: accumulate < pi_squared_sixth' \
    --claim 'A sample of all that accumulated lies between: accumulate < subsample < replace'

# As curves: the shares alone.
[ -n "$dry_run" ] || synth cat "$rows/mixtures.jsonl" --where 'share!=selected' --quiet |
    synth table - --by share --over seed --plot "$(dirname "$readme")/mixtures.png" --force > /dev/null
if [ -z "$dry_run" ] && ! only_tables; then
    first=${seeds%% *}
    synth plot "essays/perplexity-$first.json" "essays/ngrams-$first.json" "essays/tokens-$first.json" \
        "essays/map-$first.json" "theory-$first.json" tables/*.json -o page.html --force
fi
finished
