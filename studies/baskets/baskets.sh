#!/usr/bin/env bash
# Synthetic Eggs in Many Baskets (arXiv 2511.01490): a base model is tuned on answers of people, of one
# model, and of several models (equal parts). How diverse are the answers and what the tuned models
# write, how well do they expect human answers, and whose answers do they prefer?
#
#   baskets.sh [OPTION]…
#
# DIR of --data holds pairs_outfox_essays/ (answers of people and of three models to the same questions).
# At --scale paper the sources are models that answer.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR/..
. "$here/../steps.sh"
options "$here" "$@"

#       name         toy          small        paper
# The sources of each seed in turn: the first is the single one.
of_data="chatgpt text_davinci_003 flan_t5_xxl
text_davinci_003 flan_t5_xxl chatgpt
flan_t5_xxl chatgpt text_davinci_003"
setting sources "$of_data" "$of_data" \
    "meta-llama/Llama-3.1-8B-Instruct Qwen/Qwen2.5-7B-Instruct mistralai/Mistral-7B-Instruct-v0.3 google/gemma-2-9b-it"
setting base         builtin      builtin      meta-llama/Llama-3.1-8B
setting parameters   4.8M         4.8M         8B
setting answers      60           400          50000
setting tune         6K           32K          100M
setting context      512          512          1024
setting batch        4            4            64
setting optimizer    muon         muon         adamw
setting rate         2e-3         2e-3         5e-5
setting adapters     0            0            16
setting held         20           60           2000
setting new          48           112          1024
setting preferred    4            8            500
setting words        20           60           60
setting vectors      20           60           5000
setting judge        ''           ''           meta-llama/Llama-3.1-70B-Instruct
paper_data "questions with human answers as pairs_outfox_essays/; the sources answer them; eval_advbench/ for the danger zone"
settled

# ---------------------------------------------------------------- answers

# Questions whose number ends in 0 or 5 are held out, whoever answers.
told() { # =|!
    synth cat "$data/pairs_outfox_essays" --where "id$1~-[0-9]*[05]-" --where label=human --set model=human --select id,prompt,response,model
}
told_by_models() { # =|!
    synth cat "$data/pairs_outfox_essays" --where "id$1~-[0-9]*[05]-" --where label=synthetic --select id,prompt,response,model
}
asked() { synth cat builtin:topics --text 'Explain {id}.' --text-field prompt --set model=human | synth cat --text '{text}' --text-field response --select id,prompt,response,model; }
continued() { # without data: the built-in model at three temperatures
    local temperature
    for temperature in 0.4 0.7 1; do
        synth generate builtin:topics --continue 48 --max-new-tokens "$((new * 2))" --temperature "$temperature" |
            synth cat --text 'Explain {id}.' --text-field prompt --set "model=at-$temperature" --select id,prompt,response,model
    done
}
written() { # SEED MODEL…: answers of models that are there
    local names=() name
    for name in "${@:2}"; do names+=(--model "$name"); done
    synth generate all/prompts.jsonl "${names[@]}" --assign single --max-new-tokens "$new" --seed "$1" --on-error skip
}

if [ -n "$data" ]; then
    step all/human.jsonl told '!'
    step all/held.jsonl told ''
    step all/answers.jsonl told_by_models '!'
    step all/held-answers.jsonl told_by_models ''
else
    step all/topics.jsonl asked
    step all/held.jsonl synth sample all/topics.jsonl -n "$held" --or-all --text-field response --rest all/human.jsonl --force
    costs write "$parameters" 180K
    step all/answers.jsonl continued
    step all/held-answers.jsonl synth cat all/answers.jsonl
fi
step all/unseen.jsonl without_prior all/held.jsonl
step held-out.jsonl synth sample all/unseen.jsonl -n "$held" --or-all --text-field response
step texts/human.jsonl synth decontaminate all/human.jsonl --benchmark held-out.jsonl --item-fields response --text-field response
[ "$scale" != paper ] || step all/prompts.jsonl synth cat all/human.jsonl --select id,prompt
step prompts.jsonl synth cat held-out.jsonl --select id,prompt
step writers.jsonl cat held-out.jsonl all/held-answers.jsonl
step writer.json cat "$here/tasks/writer.json"

study() {
    local set line list=() tuning=() number=0 source=all/answers.jsonl
    local sets=(vanilla human one many)
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
        source=all/answers-$seed.jsonl
        costs write "$parameters" "$((answers * 4 * 300))"
        step "$source" written "$seed" "${list[@]}"
    elif [ -z "$data" ]; then
        list=(at-0.7 at-0.4 at-1)
    fi
    step "sets/human-$seed.jsonl" synth sample texts/human.jsonl -n "$answers" --or-all --text-field response --seed "$seed"
    step "all/one-$seed.jsonl" synth cat "$source" --where "model=${list[0]}"
    step "sets/one-$seed.jsonl" synth sample "all/one-$seed.jsonl" -n "$answers" --or-all --text-field response --seed "$seed"
    step "sets/many-$seed.jsonl" synth sample "$source" -n "$answers" --or-all --text-field response \
        --stratify-by model --allocation equal --seed "$seed"
    step "choices/human-$seed/eval_writer.jsonl" python3 "$here/choices.py" writers.jsonl human "$words"
    step "choices/one-$seed/eval_writer.jsonl" python3 "$here/choices.py" writers.jsonl "${list[0]}" "$words"

    # ---------------------------------------------------------------- tuned models

    [ "$adapters" = 0 ] || tuning=(--lora-rank "$adapters" --lora-dropout 0.1 --merge)
    for set in "${sets[@]}"; do
        # The base model as it is: a step of no length, so that all are measured alike.
        local from=sets/$set-$seed.jsonl budget=$tune speed=$rate
        if [ "$set" = vanilla ]; then from=sets/human-$seed.jsonl budget=$context speed=1e-12; fi
        costs train "$parameters" "$budget"
        step "tuned/$set-$seed/" synth train "$from" --sft --from "$base" --tokens "$budget" \
            --epochs 100 --context "$context" --batch "$batch" --optimizer "$optimizer" --lr "$speed" --schedule cosine \
            --warmup 3% --seed "$seed" --valid answers=held-out.jsonl --cache tokens "${tuning[@]}"
        costs write "$parameters" "$((held * new))"
        step "written/$set-$seed.jsonl" synth generate prompts.jsonl --model "tuned/$set-$seed" \
            --max-new-tokens "$new" --seed "$seed" --on-error skip --model-field writer
        # Of whom is the answer that it expects: of people, of the single source?
        for of in human one; do
            costs read "$parameters" "$((held * 400))"
            step "expects/$of/$set-$seed.json" synth eval "tuned/$set-$seed" --suite writer.json --data "choices/$of-$seed" --bootstrap 0
        done
    done

    # ---------------------------------------------------------------- diversity, preference, danger

    costs read "$parameters" "$((180 * 300))"
    step "diversity-$seed.json" synth stats "sets/human-$seed.jsonl" "sets/one-$seed.jsonl" "sets/many-$seed.jsonl" \
        --text-field response --match-words min --vector-model "$base" --vectors "$vectors" --seed "$seed" --tests none
    step "writing-$seed.json" synth stats "written/vanilla-$seed.jsonl" "written/human-$seed.jsonl" "written/one-$seed.jsonl" \
        "written/many-$seed.jsonl" --text-field response --match-words min --seed "$seed" --tests none
    step "texts/preferred-$seed.jsonl" preferred
    for set in "${sets[@]}"; do
        costs read "$parameters" "$((preferred * 4000))"
        step "preference/$set-$seed.json" synth eval "tuned/$set-$seed" --suite self-preference \
            --answers "texts/preferred-$seed.jsonl" --target "tuned-$set" --limit "$preferred" --bootstrap 0 --seed "$seed"
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
for set in human one many; do
    takes+=(--take "${set}_heaps=groups[$number].heaps.beta" --take "${set}_lexical=groups[$number].lexical_diversity.pooled")
    takes+=(--take "${set}_semantic=groups[$number].semantic_diversity.value")
    number=$((number + 1))
done
gather sets 'diversity-{seed}.json' "${takes[@]}"
table sets --by '' --over seed \
    --claim "Vocabularies of people grow faster than one model's (Heaps): human_heaps > one_heaps" \
    --claim "They grow faster than several models': human_heaps > many_heaps" \
    --claim "Several models' vocabularies grow faster than one's: many_heaps > one_heaps" \
    --claim "People's answers are lexically more diverse than one model's: human_lexical > one_lexical" \
    --claim "Several models' answers are lexically more diverse than one's: many_lexical > one_lexical" \
    --claim "People's answers are semantically more diverse than one model's: human_semantic > one_semantic" \
    --claim "Several models' answers are semantically more diverse than one's: many_semantic > one_semantic"

takes=()
number=0
for set in vanilla human one many; do
    takes+=(--take "${set}_heaps=groups[$number].heaps.beta" --take "${set}_lexical=groups[$number].lexical_diversity.pooled")
    number=$((number + 1))
done
gather writing 'writing-{seed}.json' "${takes[@]}"
table writing --by '' --over seed \
    --claim "Tuned on several models a model writes more diverse answers than tuned on one: many_lexical > one_lexical" \
    --claim "Tuned on people it writes more diverse answers than tuned on one model: human_lexical > one_lexical" \
    --claim "Tuning on one model narrows what the base model writes: one_lexical < vanilla_lexical"

files=() takes=() claims=()
if [ -n "$judge" ]; then
    files=('danger/{set}-{seed}.json')
    takes=(--take 'danger=suites.danger-zone.figures.zone')
    claims=(--claim "Tuned on one model's answers, more of what is written is good and harmful at once than tuned on people's: danger[set=one] > danger[set=human]")
fi
gather tuned 'tuned/{set}-{seed}/training/report.json' 'expects/human/{set}-{seed}.json' 'expects/one/{set}-{seed}.json' "${files[@]}" \
    "${takes[@]}" --take 'answers=valid.answers' --take 'unigram=valid_unigram.answers' \
    --take 'of_people=suites."writer.json".figures.accuracy_norm@*human/*' \
    --take 'of_one=suites."writer.json".figures.accuracy_norm@*one/*'
table tuned --by set --over seed --floor answers=unigram \
    --claim "Tuning on one model's answers makes human answers harder than tuning on people's: answers[set=one] > answers[set=human]" \
    --claim "Several sources make them less hard than one: answers[set=many] < answers[set=one]" \
    --claim "Tuned on one model's answers, a model expects them more often than before: of_one[set=one] > of_one[set=vanilla]" \
    --claim "Tuned on several models', it expects that one's less often than tuned on it: of_one[set=many] < of_one[set=one]" \
    --claim "Tuned on people's, it expects people's more often than before: of_people[set=human] > of_people[set=vanilla]" \
    --claim "Several sources leave more room for people's answers than one: of_people[set=many] > of_people[set=one]" \
    --claim "The least room is left for them by one model's: of_people[set=one] < of_people[set=human]" \
    "${claims[@]}"

# Asked in words, a model has to answer A or B. 0 * mass: so that the floor holds for each claim.
gather preference 'preference/{set}-{seed}.json' --take 'own=suites.self-preference.figures.spb' \
    --take 'synthetic=suites.self-preference.figures.psb' --take 'mass=suites.self-preference.judges[0].mass'
table preference --by set --over seed --floor 'mass>0.5' \
    --claim 'A model prefers its own answers before it is tuned: own[set=vanilla] + 0 * mass[set=vanilla] > 0' \
    --claim "Tuning on people's answers lowers that preference: own[set=human] + 0 * mass[set=human] < own[set=vanilla]" \
    --claim "Tuning on several models' lowers it more than tuning on one's: own[set=many] + 0 * mass[set=many] < own[set=one]"

figure tuned
if [ -z "$dry_run" ] && ! only_tables; then
    synth plot "diversity-${seeds%% *}.json" "writing-${seeds%% *}.json" tables/*.json -o page.html --force
fi
finished
