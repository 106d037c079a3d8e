#!/usr/bin/env bash
# Characterizing Model Behavior Under Synthetic Data Training (arXiv 2510.05133): models of several sizes
# are trained with a synthetic share of 0 to 50 %, once and on what they wrote themselves; accuracy,
# calibration, perplexity. Beside it the workflows of iterated training (arXiv 2410.16713) and the
# golden-ratio weighting (arXiv 2502.18049).
#
#   ratios.sh [OPTION]…
#
# DIR of --data holds human_{wikipedia_en_2015,textbooks_openstax}/, synth_alpaca_eval_outputs/ and
# eval_{arc_easy,piqa,boolq}/.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR/..
. "$here/../steps.sh"
options "$here" "$@"

#       name         toy          small        paper
setting shares       "0 20 30 50" "0 20 30 50" "0 10 20 30 40 50"
# Architectures with their parameters.
setting sizes        "$here/small.json=490K llama-tiny=1.2M" "$here/small.json=490K llama-tiny=1.2M" "pythia-410m=410M pythia-1.4b=1.4B pythia-6.9b=6.9B pythia-12b=12B"
setting tokens       40K          1M           8.4B
setting iterated     50           50           "10 20 30 50"
setting iterations   3            3            3
setting beginnings   120          600          1000000
setting new          80           80           512
setting kinds        "arc_easy piqa boolq" "arc_easy piqa boolq" "arc_easy arc_challenge piqa boolq winogrande mmlu"
setting items        40           200          100000
setting context      256          256          2048
setting documents    600          600          5000000
setting batch        16           16           512
setting rate         4e-3         4e-3         3e-4
setting held         10           30           2000
paper_data "human text of pre-training as human_*/, synthetic text as synth_alpaca_eval_outputs/, benchmarks as eval_*/"
settled

# ---------------------------------------------------------------- texts

whole() { # as many documents of each source
    local source
    for source; do
        synth sample "$source" -n "$documents" --or-all --text-field "$([[ $source == *synth_* ]] && echo response || echo text)"
    done | synth cat --text '{text}' --text '{prompt}\n\n{response}' --select id,text
}
continued() {
    synth sample builtin:topics -n "$documents" --or-all | synth generate - --continue 48 --max-new-tokens 160 -n 4 |
        synth cat --text '{beginning}{response}' --select text
}

if [ -n "$data" ]; then
    step all/human.jsonl whole "$data/human_wikipedia_en_2015" "$data/human_textbooks_openstax"
    step all/synthetic.jsonl whole "$data/synth_alpaca_eval_outputs"
    suites=(--suite "${kinds// /,},perplexity" --data "$data" --limit "$items")
else
    step all/human.jsonl whole builtin:topics
    costs write 4.8M 50K
    step all/synthetic.jsonl continued
    suites=(--suite perplexity)
fi
for name in human synthetic; do
    step "held-out/$name.jsonl" synth sample "all/$name.jsonl" -n "$held" --or-all --rest "texts/$name.jsonl" --force
done
step beginnings.jsonl synth sample texts/human.jsonl -n "$beginnings" --or-all

# ---------------------------------------------------------------- models

# trained MODEL SIZE SOURCE… [-- OPTION…]: a model, and what it knows.
trained() {
    local model=$1 architecture=${2%=*} parameters=${2##*=} sources=()
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        sources+=("$1")
        shift
    done
    costs train "$parameters" "$tokens"
    step "models/$model/$seed/" synth train "${sources[@]}" --arch "$architecture" --tokenizer builtin \
        --context "$context" --batch "$batch" --tokens "$tokens" --lr "$rate" --schedule cosine \
        --cache tokens --seed "$seed" "${@:2}"
    costs read "$parameters" "$((items * 400 + held * 1000))"
    step "evals/$model/$seed.json" synth eval "models/$model/$seed" "${suites[@]}" --bootstrap 0 \
        --valid human=held-out/human.jsonl --valid synthetic=held-out/synthetic.jsonl
}

# written MODEL SIZE: what the model makes of beginnings of human texts.
written() {
    costs write "${2##*=}" "$((beginnings * new))"
    step "written/$1/$seed.jsonl" going_on "models/$1/$seed" "$seed"
}
going_on() {
    synth generate beginnings.jsonl --model "$1" --continue 32 --max-new-tokens "$new" --temperature 1 --top-p 1 --seed "$2" |
        synth cat --text '{beginning}{response}' --select id,text
}

study() {
    local size name share k last reports labels
    local human=texts/human.jsonl synthetic=texts/synthetic.jsonl
    for size in $sizes; do
        name=$(basename "${size%=*}" .json)
        # Once, on text of other models.
        for share in $shares; do
            if [ "$share" = 0 ]; then
                trained "shares/$name/0/1" "$size" "$human"
            else
                trained "shares/$name/$share/1" "$size" "$human=$((100 - share))%" "$synthetic=$share%"
            fi
        done
        reports=() labels=''
        for share in $shares; do
            reports+=("evals/shares/$name/$share/1/$seed.json")
            labels+=${labels:+,}$share%
        done
        step "budget/$name-$seed.json" synth diff "${reports[@]}" --budget --shares "$labels" \
            --parameters "${size##*=}" --bootstrap 0
    done

    # Again and again, on what the last of the largest models wrote.
    for share in $iterated; do
        for ((k = 2; k <= iterations; k++)); do
            last=shares/$name/$share/$((k - 1))
            written "$last" "$size"
            trained "shares/$name/$share/$k" "$size" "$human=$((100 - share))%" "written/$last/$seed.jsonl=$share%"
        done
    done

    # Workflows: the last generation alone, all of them, as many drawn from all.
    local workflow generations
    step "texts/real-$seed.jsonl" synth sample "$human" -n "$beginnings" --or-all --seed "$seed"
    trained workflows/real/1 "$size" "texts/real-$seed.jsonl" -- --epochs 100
    for workflow in replace accumulate accumulate-subsample; do
        generations=(--generation "texts/real-$seed.jsonl")
        last=workflows/real/1
        for ((k = 2; k <= iterations; k++)); do
            written "$last" "$size"
            generations+=(--generation "written/$last/$seed.jsonl")
            step "texts/$workflow-$k-of-$seed.jsonl" synth mix --workflow "$workflow" "${generations[@]}" --seed "$seed"
            last=workflows/$workflow/$k
            trained "$last" "$size" "texts/$workflow-$k-of-$seed.jsonl" -- --epochs 100
        done
    done

    # Equal parts of human text and of what the model wrote of it, the human loss weighted or not.
    trained weights/golden "$size" "$human=50%" "written/workflows/real/1/$seed.jsonl=50%" -- --golden human
    trained weights/equal "$size" "$human=50%" "written/workflows/real/1/$seed.jsonl=50%"
}
each_seed study

# ---------------------------------------------------------------- tables

small='' large=''
for size in $sizes; do
    large=$(basename "${size%=*}" .json)
    small=${small:-$large}
done
read -ra list <<< "$shares"
most=${list[-1]}
safe=0 # the largest share that the paper calls safe
for share in $shares; do [ "$share" -gt 20 ] || safe=$share; done
takes=(--take 'human=suites.perplexity.domains[domain=human].perplexity')
accuracy='' ece=''
remember measured "${data:+$kinds}"
for name in $measured; do
    takes+=(--take "$name=suites.$name.figures.accuracy" --take "${name}_ece=suites.$name.figures.ece")
    accuracy+="${accuracy:+, }${name}[CELL]"
    ece+="${ece:+, }${name}_ece[CELL]"
done
mean() { # accuracy|ece CELL: over the kinds of tasks
    local cells=${!1}
    echo "mean(${cells//CELL/$2})"
}

gather shares 'evals/shares/{size}/{share}/{iteration}/{seed}.json' "${takes[@]}"
claims=()
for name in "$small" "$large"; do
    none=size=$name,share=0,iteration=1 some=size=$name,share=$safe,iteration=1 many=size=$name,share=$most,iteration=1
    [ -z "$measured" ] || claims+=(
        --claim "$name: $safe % synthetic stays within 3 % in accuracy: $(mean accuracy "$some") > 0.97 * $(mean accuracy "$none")"
        --claim "$name: $most % synthetic loses 8 % of accuracy or more: $(mean accuracy "$many") < 0.92 * $(mean accuracy "$none")"
    )
    claims+=(
        --claim "$name: $safe % synthetic stays within 3 % in perplexity: human[$some] < 1.03 * human[$none]"
        --claim "$name: $most % synthetic costs 8 % of perplexity or more: human[$many] > 1.08 * human[$none]"
    )
done
first=size=$large,share=$most,iteration=1 final=size=$large,share=$most,iteration=$iterations
claims+=(
    --claim "The larger model bears $most % better (log perplexity): log(human[size=$large,share=$most,iteration=1]) - log(human[size=$large,share=0,iteration=1]) < log(human[size=$small,share=$most,iteration=1]) - log(human[size=$small,share=0,iteration=1])"
    --claim "Human text gets harder with each iteration at $most %: human[$first] < human[size=$large,share=$most,iteration=2] < human[$final]"
)
[ -z "$measured" ] || claims+=(
    --claim "Calibration worsens with the iterations at $most %: $(mean ece "$first") < $(mean ece "$final")"
    --claim "Accuracy stays meanwhile within 3 %: $(mean accuracy "$final") > 0.97 * $(mean accuracy "$first")"
)
table shares --by size,share,iteration --over seed "${claims[@]}"

gather workflows 'evals/workflows/{workflow}/{generation}/{seed}.json' --take 'human=suites.perplexity.domains[domain=human].perplexity'
table workflows --by workflow,generation --over seed \
    --claim "Replacing: human text gets harder with each generation: human[workflow=real,generation=1] < human[workflow=replace,generation=2] < human[workflow=replace,generation=$iterations]" \
    --claim "Accumulating is better than replacing: human[workflow=accumulate,generation=$iterations] < human[workflow=replace,generation=$iterations]" \
    --claim "A sample of what accumulated is better than replacing: human[workflow=accumulate-subsample,generation=$iterations] < human[workflow=replace,generation=$iterations]" \
    --claim "Accumulating all is better than a sample of it: human[workflow=accumulate,generation=$iterations] < human[workflow=accumulate-subsample,generation=$iterations]"

gather weights 'evals/weights/{weights}/{seed}.json' --take 'human=suites.perplexity.domains[domain=human].perplexity'
table weights --by weights --over seed \
    --claim 'The golden-ratio weight on human text is better than equal weights: human[weights=golden] < human[weights=equal]'

figure workflows
if [ -z "$dry_run" ] && ! only_tables; then
    synth plot "budget/$large-${seeds%% *}.json" tables/*.json -o page.html --force
fi
finished
