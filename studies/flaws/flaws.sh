#!/usr/bin/env bash
# Unveiling the Flaws (arXiv 2406.12397): a model learns human text with a share of patterned synthetic
# questions and answers, the pattern is taken out again, and the models are tuned on human instructions.
# What did each step do to knowledge, perplexity, and what the models write?
#
#   flaws.sh [OPTION]…
#
# DIR of --data holds human_{wikipedia_en_2015,textbooks_openstax,selfinstruct_tasks,stackexchange_beer}/,
# synth_gpteacher/roleplay.jsonl.zst, eval_arc_easy/ and eval_ifeval/.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR/..
. "$here/../steps.sh"
options "$here" "$@"

#       name         toy          small        paper
setting base         builtin      builtin      ./base
setting parameters   4.8M         4.8M         2B
setting share        50           50           2
setting tokens       24K          1M           10B
setting forget       10K          200K         1B
setting methods      "bounded=1,1,1 ga refine" "bounded=1,1,1 ga refine" "bounded ga refine"
setting tune         10K          200K         200M
setting context      256          256          4096
setting documents    600          600          5000000
setting batch        16           16           64
setting rate         3e-4         3e-4         5e-5
setting tune_rate    2e-4         2e-4         2e-5
setting held         15           40           2000
setting few          60           200          2000
setting kinds        arc_easy     arc_easy     "arc_easy arc_challenge boolq piqa winogrande mmlu"
setting items        40           300          100000
setting prompts      24           60           500
setting asked        60           200          500
setting new          32           32           1024
setting judge        ''           ''           meta-llama/Llama-3.1-70B-Instruct
paper_data "human text of pre-training as human_*/, synthetic questions and answers as synth_gpteacher/," \
    "human instructions as human_selfinstruct_tasks/, benchmarks as eval_*/ (synth eval --list names them)"
settled

# ---------------------------------------------------------------- texts

words() { # as many documents of each source
    local source
    for source; do synth sample "$source" -n "$documents" --or-all; done | synth cat --select id,text
}
# One heading over each question and answer: the pattern.
headed() { synth cat "$@" --where prompt --where response --text 'Question: {prompt}\n\nAnswer: {response}' --select id,text; }
told() { synth cat "$@" --where prompt --where response --select id,prompt,response; }
continued() {
    synth sample builtin:topics -n "$documents" --or-all | synth generate - --continue 48 --max-new-tokens 160 -n 4 |
        synth cat --text 'Question: Go on.\n\nAnswer: {response}' --select text
}
asked() { synth cat builtin:topics --set 'prompt=Explain this.' --text '{text}' --text-field response --select id,prompt,response; }

# How often the words of the heading come in what a model writes.
headings() { synth stats "$1" --text-field response --measures lengths,rates --rate 'heading=(?i)\b(question|answer)s?\b'; }

if [ -n "$data" ]; then
    step all/human.jsonl words "$data/human_wikipedia_en_2015" "$data/human_textbooks_openstax"
    step all/qa.jsonl headed "$data/synth_gpteacher/roleplay.jsonl.zst"
    step all/chat.jsonl told "$data/human_selfinstruct_tasks" "$data/human_stackexchange_beer"
    knowledge=(--suite "${kinds// /,},perplexity" --data "$data" --limit "$items")
    following=(--suite "ifeval${judge:+,followbench,mt_bench}" --data "$data" --limit "$prompts" --max-new-tokens "$new")
    [ -z "$judge" ] || following+=(--judge "$judge")
else
    step all/human.jsonl words builtin:topics
    costs write "$parameters" 50K
    step all/qa.jsonl continued
    step all/chat.jsonl asked
    knowledge=(--suite perplexity)
    following=()
fi
for name in human qa chat; do
    step "held-out/$name.jsonl" synth sample "all/$name.jsonl" -n "$held" --or-all --rest "texts/$name.jsonl" --force \
        --text-field "$([ "$name" = chat ] && echo response || echo text)"
done
tell_trained "$base" held-out/human.jsonl held-out/chat.jsonl
instructions() { synth sample texts/chat.jsonl -n "$1" --or-all --text-field prompt | synth cat --select id,prompt; }
step prompts.jsonl instructions "$asked"

# ---------------------------------------------------------------- models

study() {
    local name method weights
    local common=(--context "$context" --batch "$batch" --seed "$seed" --cache tokens)
    local models=(mixed plain)

    # MixSynth and NonSynth: the same tokens, with and without synthetic answers.
    costs train "$parameters" "$tokens"
    step "models/mixed-$seed/" synth train "texts/human.jsonl=$((100 - share))%" "texts/qa.jsonl=$share%" \
        --from "$base" --tokens "$tokens" --lr "$rate" "${common[@]}"
    costs train "$parameters" "$tokens"
    step "models/plain-$seed/" synth train texts/human.jsonl --from "$base" --tokens "$tokens" --lr "$rate" \
        "${common[@]}"
    for method in $methods; do
        name=${method//[=,]/_}
        weights=()
        [[ $method == *=* ]] && weights=(--weights "${method#*=}")
        # Forgetting, replay, and the original model beside them.
        costs train "$parameters" "$(number "$forget")"
        step "models/$name-$seed/" synth unlearn --model "models/mixed-$seed" --forget texts/qa.jsonl \
            --replay texts/human.jsonl --method "${method%%=*}" "${weights[@]}" --tokens "$forget" \
            --lr "$rate" --compare-tokens 4K "${common[@]}"
        models+=("$name")
    done

    # What each knows, expects and writes; the same once it is tuned on human instructions.
    for name in "${models[@]}"; do
        costs read "$parameters" "$((items * 200 + held * 1000))"
        step "knows/$name-$seed.json" synth eval "models/$name-$seed" "${knowledge[@]}" \
            --valid human=held-out/human.jsonl --valid qa=held-out/qa.jsonl --bootstrap 0
        costs write "$parameters" "$((asked * new))"
        step "writes/$name-$seed.jsonl" synth generate prompts.jsonl --model "models/$name-$seed" \
            --max-new-tokens "$new" --seed "$seed" --on-error skip
        costs train "$parameters" "$tune"
        step "tuned/$name-$seed/" synth train texts/chat.jsonl --sft --from "models/$name-$seed" \
            --tokens "$tune" --lr "$tune_rate" --valid answers=held-out/chat.jsonl "${common[@]}"
        if [ ${#following[@]} != 0 ]; then
            costs write "$parameters" "$((prompts * new))"
            step "follows/$name-$seed.json" synth eval "tuned/$name-$seed" "${following[@]}" --bootstrap 0
        fi
        costs write "$parameters" "$((asked * new))"
        step "writes/$name-tuned-$seed.jsonl" synth generate prompts.jsonl --model "tuned/$name-$seed" \
            --max-new-tokens "$new" --seed "$seed" --on-error skip
        step "pattern/before/$name-$seed.json" headings "writes/$name-$seed.jsonl"
        step "pattern/after/$name-$seed.json" headings "writes/$name-tuned-$seed.jsonl"
    done

    # Where the distribution of held-out human text went, and came back to.
    costs read "$parameters" "$((held * 3000))"
    step "shift-$seed.json" synth ppl held-out/human.jsonl --context "$context" --model "models/plain-$seed" \
        --model "models/mixed-$seed" --model "models/${models[2]}-$seed" --compare --bootstrap 0

    # The two corpora: maps, tokens that stand out.
    for name in human qa; do
        step "few/$name-$seed.jsonl" synth sample "texts/$name.jsonl" -n "$few" --or-all --seed "$seed"
    done
    costs read "$parameters" "$((few * 500))"
    step "map-$seed.json" synth embed "few/human-$seed.jsonl" "few/qa-$seed.jsonl" --model "$base" \
        --max-tokens 256 --map --method pca
    step "frequencies-$seed.json" synth stats "few/human-$seed.jsonl" "few/qa-$seed.jsonl" --tokenizer "$base" \
        --measures lengths,tokens
}
each_seed study

# ---------------------------------------------------------------- tables

remember measured "${data:+$kinds}"
takes=() claims=() files=() knows=''
for name in $measured; do
    takes+=(--take "$name=suites.$name.figures.accuracy")
    knows+="${knows:+, }${name}[model=CELL]"
done
right() { echo "mean(${knows//CELL/$1})"; } # accuracy of a model, over the kinds of tasks
first=${methods%% *}
first=${first//[=,]/_}
if [ -n "$measured" ]; then
    files=('follows/{model}-{seed}.json')
    takes+=(--take 'followed=suites.ifeval.figures.instruction_strict')
    [ -z "$judge" ] || takes+=(--take 'hsr=suites.followbench.figures.hsr' --take 'ssr=suites.followbench.figures.ssr'
        --take 'mt_bench=suites.mt_bench.figures.score')
    claims=(
        --claim "Synthetic answers raise accuracy on knowledge: $(right mixed) > $(right plain)"
        --claim 'Tuned, the model that saw them follows fewer instructions: followed[model=mixed] < followed[model=plain]'
        --claim "Bounded forgetting keeps knowledge (within 2 points): $(right "$first") > $(right mixed) - 0.02"
        --claim "Tuned, the unlearned model follows more instructions than the one that saw synthetic answers: followed[model=$first] > followed[model=mixed]"
    )
fi
gather models 'knows/{model}-{seed}.json' 'pattern/before/{model}-{seed}.json' 'pattern/after/{model}-{seed}.json' \
    'tuned/{model}-{seed}/training/report.json' "${files[@]}" \
    --take 'human=suites.perplexity.domains[domain=human].perplexity' \
    --take 'qa=suites.perplexity.domains[domain=qa].perplexity' \
    --take 'pattern=groups[0].rates.heading.value@*before*' \
    --take 'tuned_pattern=groups[0].rates.heading.value@*after*' \
    --take 'answers=valid.answers' "${takes[@]}"
table models --by model --over seed \
    --claim 'Synthetic answers leave a pattern in what the model writes: pattern[model=mixed] > pattern[model=plain]' \
    --claim 'The pattern outlives tuning on human instructions: tuned_pattern[model=mixed] > tuned_pattern[model=plain]' \
    --claim 'Tuned, the model that saw them expects human answers less: answers[model=mixed] > answers[model=plain]' \
    --claim "Bounded forgetting takes the pattern out: pattern[model=$first] < pattern[model=mixed]" \
    --claim "Bounded forgetting keeps human text (within 2 %): human[model=$first] < 1.02 * human[model=mixed]" \
    --claim "Gradient ascent costs human text more than bounded forgetting: human[model=ga] > human[model=$first]" \
    --claim "Unlearning takes out more than further training on human text: pattern[model=$first] < pattern[model=refine]" \
    --claim "Tuned, the unlearned model expects human answers more than the one that saw synthetic answers: answers[model=$first] < answers[model=mixed]" \
    "${claims[@]}"

gather corpora 'shift-{seed}.json' 'map-{seed}.json' \
    --take 'shift=pairs[0].mean_shift@*shift*' --take 'variance=pairs[0].variance_ratio@*shift*' \
    --take 'shift_back=pairs[1].mean_shift@*shift*' \
    --take 'neighbours=pairs[0].knn_accuracy.value' --take 'by_chance=pairs[0].knn_accuracy.expected'
table corpora --by '' --over seed \
    --claim 'Synthetic answers and human text lie apart (nearest neighbours): neighbours > by_chance' \
    --claim 'Synthetic answers shift the perplexity of human text upwards: shift > 0' \
    --claim 'They narrow its distribution: variance < 1'

figure models
if [ -z "$dry_run" ] && ! only_tables; then
    synth plot "shift-${seeds%% *}.json" "map-${seeds%% *}.json" "frequencies-${seeds%% *}.json" tables/*.json \
        -o page.html --force
fi
finished
