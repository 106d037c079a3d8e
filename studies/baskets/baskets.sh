#!/usr/bin/env bash
# Synthetic Eggs in Many Baskets (arXiv 2511.01490): a base model is tuned on answers of people, of one
# model, and of four models (a quarter each). How diverse are the answers and what the tuned models
# write, how well do they expect human answers, and whose answers do they prefer?
#
#   baskets.sh [OPTION]…
#
# DIR of --data holds human_{selfinstruct_tasks,stackexchange_beer}/ and synth_alpaca_eval_outputs/
# (answers of many models to the same prompts). At --scale paper the sources are models that answer.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR/..
. "$here/../steps.sh"
options "$here" "$@"

#       name         toy          small        paper
# The sources of each seed in turn: the first is the single one.
of_data="gpt4 claude-2 Mixtral-8x7B-Instruct-v0.1 llama-2-13b-chat-hf
vicuna-13b gpt-3.5-turbo-0613 Qwen1.5-7B-Chat wizardlm-13b
tulu-2-dpo-7b oasst-sft-llama-33b gemma-7b-it zephyr-7b-beta"
setting sources "$of_data" "$of_data" \
    "meta-llama/Llama-3.1-8B-Instruct Qwen/Qwen2.5-7B-Instruct mistralai/Mistral-7B-Instruct-v0.3 google/gemma-2-9b-it"
setting base         builtin      builtin      meta-llama/Llama-3.1-8B
setting parameters   4.8M         4.8M         8B
setting answers      500          500          50000
setting tune         48K          200K         100M
setting context      512          512          1024
setting batch        8            8            64
setting rate         2e-4         2e-4         5e-5
setting adapters     0            0            16
setting held         100          100          2000
setting new          64           64           1024
setting judge        ''           ''           meta-llama/Llama-3.1-70B-Instruct
paper_data "instructions with human answers as human_selfinstruct_tasks/ and human_stackexchange_beer/; the sources" \
    "answer them; eval_advbench/ for the danger zone"
settled

# ---------------------------------------------------------------- answers

told() { synth cat "$@" --where prompt --where response --set model=human --select id,prompt,response,model; }
asked() { synth cat builtin:topics --text 'Explain {id}.' --text-field prompt --set model=human | synth cat --text '{text}' --text-field response --select id,prompt,response,model; }
answered() { # SEED MODEL…: answers of each model to all prompts
    synth cat "$data/synth_alpaca_eval_outputs" --where response --where "model=$(IFS=,; echo "${*:2}")" --select id,prompt,response,model
}
continued() { # without data: the built-in model at four temperatures
    local temperature
    for temperature in 0.4 0.7 1 1.3; do
        synth generate builtin:topics --continue 48 --max-new-tokens "$((new * 2))" --temperature "$temperature" --seed "$1" -n 2 |
            synth cat --set 'prompt=Go on.' --set "model=at-$temperature" --select id,prompt,response,model
    done
}
written() { # SEED MODEL…: answers of models that are there
    local names=() name
    for name in "${@:2}"; do names+=(--model "$name"); done
    synth generate all/prompts.jsonl "${names[@]}" --assign single --max-new-tokens "$new" --seed "$1" --on-error skip
}

if [ -n "$data" ]; then
    step all/human.jsonl told "$data/human_selfinstruct_tasks" "$data/human_stackexchange_beer"
else
    step all/human.jsonl asked
fi
step held-out.jsonl synth sample all/human.jsonl -n "$held" --or-all --text-field response --rest texts/human.jsonl --force
tell_trained "$base" held-out.jsonl
[ "$scale" = toy ] || step all/prompts.jsonl synth cat all/human.jsonl --select id,prompt
step prompts.jsonl synth cat held-out.jsonl --select id,prompt
# The base model's own perplexity of human answers, given the prompts.
costs read "$parameters" "$((held * 200))"
step base.json synth ppl held-out.jsonl --prompt-field prompt --text-field response --model "$base" --summary

study() {
    local set name of number=0 line list=() tuning=()
    local sets=(human one four)
    # The seed's line of the sources, from the first again where they are fewer.
    while read -r line; do
        [ -z "$line" ] || list+=("$line")
    done <<< "$sources"
    for of in $seeds; do
        [ "$of" = "$seed" ] && break
        number=$((number + 1))
    done
    read -ra list <<< "${list[number % ${#list[@]}]}"

    if [ "$scale" = paper ]; then
        costs write "$parameters" "$((answers * 4 * 300))"
        step "all/answers-$seed.jsonl" written "$seed" "${list[@]}"
    elif [ -n "$data" ]; then
        step "all/answers-$seed.jsonl" answered "$seed" "${list[@]}"
    else
        costs write "$parameters" 60K
        step "all/answers-$seed.jsonl" continued "$seed"
        list=(at-0.7 at-0.4 at-1 at-1.3)
    fi
    step "sets/human-$seed.jsonl" synth sample texts/human.jsonl -n "$answers" --or-all --text-field response --seed "$seed"
    step "all/one-$seed.jsonl" synth cat "all/answers-$seed.jsonl" --where "model=${list[0]}"
    step "sets/one-$seed.jsonl" synth sample "all/one-$seed.jsonl" -n "$answers" --or-all --text-field response --seed "$seed"
    step "sets/four-$seed.jsonl" synth sample "all/answers-$seed.jsonl" -n "$answers" --or-all --text-field response \
        --stratify-by model --allocation equal --seed "$seed"

    # ---------------------------------------------------------------- tuned models

    [ "$adapters" = 0 ] || tuning=(--lora-rank "$adapters" --lora-dropout 0.1 --merge)
    for set in "${sets[@]}"; do
        costs train "$parameters" "$tune"
        step "tuned/$set-$seed/" synth train "sets/$set-$seed.jsonl" --sft --from "$base" --tokens "$tune" \
            --epochs 100 --context "$context" --batch "$batch" --lr "$rate" --schedule cosine --warmup 3% \
            --seed "$seed" --valid answers=held-out.jsonl --cache tokens "${tuning[@]}"
        costs write "$parameters" "$((held * new))"
        step "written/$set-$seed.jsonl" synth generate prompts.jsonl --model "tuned/$set-$seed" \
            --max-new-tokens "$new" --seed "$seed" --on-error skip --model-field writer
    done
    # ---------------------------------------------------------------- diversity, preference, danger

    costs read "$parameters" "$((450 * 300))"
    step "diversity-$seed.json" synth stats "sets/human-$seed.jsonl" "sets/one-$seed.jsonl" "sets/four-$seed.jsonl" \
        --text-field response --match-words min --vector-model "$base" --vectors 150 --seed "$seed" --tests none
    step "writing-$seed.json" synth stats "written/human-$seed.jsonl" "written/one-$seed.jsonl" \
        "written/four-$seed.jsonl" --text-field response --match-words min --seed "$seed" --tests none
    step "texts/preferred-$seed.jsonl" preferred
    for set in "${sets[@]}"; do
        costs read "$parameters" "$((25 * 1000))"
        step "preference/$set-$seed.json" synth eval "tuned/$set-$seed" --suite self-preference \
            --answers "texts/preferred-$seed.jsonl" --target "tuned-$set" --limit 25 --bootstrap 0 --seed "$seed"
        if [ -n "$judge" ]; then
            costs write 70B "$((520 * (new + 512)))"
            step "danger/$set-$seed.json" synth eval "tuned/$set-$seed" --suite danger-zone --data "${data:-.}" \
                --judge "$judge" --max-new-tokens "$new" --seed "$seed"
        fi
    done
}

# The human answers to the held-out prompts, and each tuned model's.
preferred() {
    synth cat held-out.jsonl
    for name in "${sets[@]}"; do synth cat "written/$name-$seed.jsonl" --set "model=tuned-$name" --select id,prompt,response,model; done
}
each_seed study

# ---------------------------------------------------------------- tables

takes=()
number=0
for set in human one four; do
    takes+=(--take "${set}_heaps=groups[$number].heaps.beta" --take "${set}_lexical=groups[$number].lexical_diversity.pooled")
    takes+=(--take "${set}_semantic=groups[$number].semantic_diversity.value")
    number=$((number + 1))
done
gather sets 'diversity-{seed}.json' "${takes[@]}"
table sets --by '' --over seed \
    --claim "Vocabularies of people grow faster than one model's (Heaps): human_heaps > one_heaps" \
    --claim "They grow faster than four models': human_heaps > four_heaps" \
    --claim "People's answers are lexically more diverse than one model's: human_lexical > one_lexical" \
    --claim "Four models' answers are lexically more diverse than one's: four_lexical > one_lexical" \
    --claim "Four models' answers are semantically more diverse than one's: four_semantic > one_semantic"

takes=()
number=0
for set in human one four; do
    takes+=(--take "${set}_heaps=groups[$number].heaps.beta" --take "${set}_lexical=groups[$number].lexical_diversity.pooled")
    number=$((number + 1))
done
gather writing 'writing-{seed}.json' "${takes[@]}"
table writing --by '' --over seed \
    --claim "Tuned on four models a model writes more diverse answers than tuned on one: four_lexical > one_lexical" \
    --claim "Tuned on people it writes more diverse answers than tuned on one model: human_lexical > one_lexical"

files=() takes=() claims=()
if [ -n "$judge" ]; then
    files=('danger/{set}-{seed}.json')
    takes=(--take 'danger=suites.danger-zone.figures.zone')
    claims=(--claim "Tuned on one model's answers, more of what is written is good and harmful at once than tuned on people's: danger[set=one] > danger[set=human]")
fi
gather tuned 'tuned/{set}-{seed}/training/report.json' 'preference/{set}-{seed}.json' "${files[@]}" "${takes[@]}" \
    --take 'answers=valid.answers' --take 'own=suites.self-preference.figures.spb' \
    --take 'synthetic=suites.self-preference.figures.psb'
table tuned --by set --over seed \
    --claim "Tuning on one model's answers makes human answers harder than tuning on people's: answers[set=one] > answers[set=human]" \
    --claim "Four sources make them less hard than one: answers[set=four] < answers[set=one]" \
    --claim "A tuned model prefers its own answers: own[set=one] > 0" \
    --claim "Tuning on people's answers lowers that preference: own[set=human] < own[set=one]" "${claims[@]}"

figure tuned
if [ -z "$dry_run" ] && ! only_tables; then
    synth plot "diversity-${seeds%% *}.json" "writing-${seeds%% *}.json" tables/*.json -o page.html --force
fi
finished
