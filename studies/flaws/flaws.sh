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

#       name       toy                   paper
setting base       builtin               ./base
setting parameters 4.8M                  2B
setting share      50                    2
setting tokens     40K                   10B
setting forget     16K                   1B
setting methods    "bounded=1,1,1 ga refine"         "bounded ga refine"
setting tune       16K                   200M
setting context    256                   4096
setting documents  600                   5000000
setting batch      16                    64
setting rate       3e-4                  5e-5
setting tune_rate  2e-4                  2e-5
setting held       15                    2000
setting few        60                    2000
setting items      50                    100000
setting prompts    30                    500
setting new        48                    1024
settled

# ---------------------------------------------------------------- texts

words() { # as many documents of each source
    local source
    for source; do synth sample "$source" -n "$documents"; done | synth cat --select id,text
}
# One heading over each question and answer: the pattern.
headed() { synth cat "$@" --where prompt --where response --text 'Question: {prompt}\n\nAnswer: {response}' --select id,text; }
told() { synth cat "$@" --where prompt --where response --select id,prompt,response; }
continued() { synth generate builtin:topics --continue 48 --max-new-tokens 160 -n 4 | synth cat --text 'Question: Go on.\n\nAnswer: {response}' --select text; }
asked() { synth cat builtin:topics --set 'prompt=Explain this.' --text '{text}' --text-field response --select id,prompt,response; }

if [ -n "$data" ]; then
    step all/human.jsonl words "$data/human_wikipedia_en_2015" "$data/human_textbooks_openstax"
    step all/qa.jsonl headed "$data/synth_gpteacher/roleplay.jsonl.zst"
    step all/chat.jsonl told "$data/human_selfinstruct_tasks" "$data/human_stackexchange_beer"
    knowledge=(--suite arc_easy,perplexity --data "$data" --limit "$items")
    following=(--suite ifeval --data "$data" --limit "$prompts" --max-new-tokens "$new")
else
    step all/human.jsonl words builtin:topics
    costs write "$parameters" 50K
    step all/qa.jsonl continued
    step all/chat.jsonl asked
    knowledge=(--suite perplexity)
    following=()
fi
[ -n "$dry_run" ] || only_tables || mkdir -p texts
for name in human qa chat; do
    step "held-out/$name.jsonl" synth sample "all/$name.jsonl" -n "$held" --rest "texts/$name.jsonl" --force \
        --text-field "$([ "$name" = chat ] && echo response || echo text)"
done
step prompts.jsonl synth sample held-out/chat.jsonl -n "$prompts" --text-field prompt

# ---------------------------------------------------------------- models

study() {
    local name method weights report
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
        costs write "$parameters" "$((prompts * new))"
        step "writes/$name-$seed.jsonl" synth generate prompts.jsonl --model "models/$name-$seed" \
            --max-new-tokens "$new" --seed "$seed" --on-error skip
        costs train "$parameters" "$tune"
        step "tuned/$name-$seed/" synth train texts/chat.jsonl --sft --from "models/$name-$seed" \
            --tokens "$tune" --lr "$tune_rate" --valid answers=held-out/chat.jsonl "${common[@]}"
        if [ ${#following[@]} != 0 ]; then
            costs write "$parameters" "$((prompts * new))"
            step "follows/$name-$seed.json" synth eval "tuned/$name-$seed" "${following[@]}" --bootstrap 0
        fi
        costs write "$parameters" "$((prompts * new))"
        step "writes/$name-tuned-$seed.jsonl" synth generate prompts.jsonl --model "tuned/$name-$seed" \
            --max-new-tokens "$new" --seed "$seed" --on-error skip
        for report in "$name" "$name-tuned"; do
            step "pattern/$report-$seed.json" synth stats "writes/$report-$seed.jsonl" --text-field response \
                --measures lengths --rate 'heading=(?i)\b(question|answer)s?\b'
        done
    done

    # Where the distribution of held-out human text went, and came back to.
    costs read "$parameters" "$((held * 3000))"
    step "shift-$seed.json" synth ppl held-out/human.jsonl --context "$context" --model "models/plain-$seed" \
        --model "models/mixed-$seed" --model "models/${models[2]}-$seed" --compare --bootstrap 0

    # The two corpora: maps, tokens that stand out.
    for name in human qa; do
        step "few/$name-$seed.jsonl" synth sample "texts/$name.jsonl" -n "$few" --seed "$seed"
    done
    costs read "$parameters" "$((few * 500))"
    step "map-$seed.json" synth embed "few/human-$seed.jsonl" "few/qa-$seed.jsonl" --model "$base" \
        --max-tokens 256 --map --method pca
    step "frequencies-$seed.json" synth stats "few/human-$seed.jsonl" "few/qa-$seed.jsonl" --tokenizer "$base" \
        --measures lengths,tokens
}
each_seed study
finished
