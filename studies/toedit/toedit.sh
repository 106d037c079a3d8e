#!/usr/bin/env bash
# How to Synthesize Text Data without Model Collapse? (arXiv 2412.14689): what a share of synthetic text
# in pre-training does to perplexity on human text, in what synthetic text differs, and what token-level
# editing makes of human text.
#
#   toedit.sh [OPTION]…
#
# DIR of --data holds pairs_outfox_essays/ (records with `label`, `pair_id` and `response`: essays of people
# and of models on the same questions), pairs_fast_detect_gpt/ (passages of Wikipedia, and what five models made
# of their beginnings), synth_alpaca_eval_outputs/ (answers), human_{wikipedia_en_2015,peps,novels_eltec,textbooks_openstax}/
# (records with `text`; held out alone), human_selfinstruct_tasks/ and human_stackexchange_beer/ (`prompt`
# and `response`); at the paper's scale human/ and synthetic/ in place of the essays.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR/..
. "$here/../steps.sh"
options "$here" "$@"

#       name       toy              small            paper
setting shares     "0 25 50 75 100" "0 25 50 75 100" "0 25 50 75 100"
setting arch       llama-tiny       llama-tiny       gpt2
setting parameters 0.53M            0.66M            124M
# A size: a tokenizer of the study's own training text; else a model that has one.
setting tokenizer  1024             2048             gpt2
setting tokens     24K              250K             8.4B
setting context    256              256              1024
setting batch      8                8                512
setting optimizer  muon             muon             adamw
setting rate       2e-2             2e-2             6e-4
setting prior      builtin          smollm2          meta-llama/Meta-Llama-3-8B
setting prior_size 4.8M             135M             8B
setting threshold  0.6              0.99             0.99
setting base       builtin          builtin          allenai/OLMo-1B-hf
setting base_size  4.8M             4.8M             1.2B
# Tokens from scratch on the edited texts; tokens of continued training and of tuning.
setting again      12K              120K             1B
setting further    6K               20K              1B
setting further_rate 3e-4           3e-4             5e-5
setting selection  40               420              1000000
# Documents: edited; compared, of each side and seed; edited thrice; answers edited.
setting pool       12               40               1000000
setting few        6                10               2000
setting passages   6                15               2000
setting many       20               100              1000000
setting thrice     3                3                2000
setting talk       40               40               1000000
setting words      3000             60000            10M
# Held out of the essays and of each further domain.
setting held       12               30               2000
setting held_far   2                5                2000
setting documents  200              1000000          5000000
# With data: questions of these kinds, so many on each held-out essay (studies/ratios/cloze.py); 0: benchmarks.
setting kinds      "topic words"    "topic words"    "arc_easy arc_challenge piqa boolq winogrande"
setting per        2                6                0
paper_data "Dolma as human/, Cosmopedia as synthetic/, further domains (BioMed, finance) as human_*/," \
    "human instructions as human_selfinstruct_tasks/"
settled

# ---------------------------------------------------------------- texts

whole() { # DIR: texts of a source
    synth sample "$1" -n "$documents" --or-all | synth cat --select id,text
}
essays() { # LABEL
    synth cat "$data/pairs_outfox_essays" --where "label=$1" --text '{response}' --select pair_id,id,text
}
continued() {
    synth sample builtin:topics -n "$documents" --or-all | synth generate - --continue 48 --max-new-tokens 160 -n 1 |
        synth cat --text '{beginning}{response}' --select id,text
}
told() { synth cat "$@" --where response --where prompt --select id,prompt,response; }
asked() { synth cat builtin:topics --set 'prompt=Explain this.' --text '{text}' --text-field response --select id,prompt,response; }
of_questions() { # =|!= HELD FILE: the records of FILE whose question is (not) one of HELD's
    local questions
    questions=$(synth cat "$2" --select pair_id --quiet | tr -dc '0-9\n' | paste -sd,)
    synth cat "$3" --where "pair_id$1$questions"
}

passages() { # LABEL
    synth cat "$data/pairs_fast_detect_gpt" --where source=fast_detect_gpt_squad --where "label=$1" --select id,text
}
answers() {
    synth sample "$data/synth_alpaca_eval_outputs" --text-field response -n 500 | synth cat --text '{response}' --select id,text
}

domains=(human)
pairs=(essays)
if [ -n "$data" ]; then
    for place in human_wikipedia_en_2015 human_peps human_novels_eltec human_textbooks_openstax; do
        name=${place#human_}
        name=${name%%_*}
        domains+=("$name")
        step "all/$name.jsonl" whole "$data/$place"
        held_out "$name" "all/$name.jsonl" "$held_far"
    done
    step all/chat.jsonl told "$data/human_selfinstruct_tasks" "$data/human_stackexchange_beer"
fi
if [ -n "$data" ] && [ "$scale" != paper ]; then
    # By question: what people and models wrote on one is held out together.
    step all/human.jsonl essays human
    step all/synthetic.jsonl essays synthetic
    held_out human all/human.jsonl "$held"
    step on-held/synthetic.jsonl of_questions = held-out/human.jsonl all/synthetic.jsonl
    step held-out/synthetic.jsonl synth sample on-held/synthetic.jsonl -n "$held" --or-all
    step left/synthetic.jsonl of_questions != held-out/human.jsonl all/synthetic.jsonl
    step texts/synthetic.jsonl apart on-held/synthetic.jsonl text left/synthetic.jsonl
    others human
    pairs+=(continuations answers)
    step short/human.jsonl passages human
    step short/continuations.jsonl passages synthetic
    step short/answers.jsonl answers
else
    if [ -n "$data" ]; then
        step all/human.jsonl whole "$data/human"
        step all/synthetic.jsonl whole "$data/synthetic"
    else
        step all/human.jsonl whole builtin:topics
        costs write "$prior_size" 30K
        step all/synthetic.jsonl continued
        step all/chat.jsonl asked
    fi
    for name in human synthetic; do
        held_out "$name" "all/$name.jsonl" "$held"
        others "$name"
    done
fi
held_out chat all/chat.jsonl "$held" response
others chat response
valid=(--valid synthetic=held-out/synthetic.jsonl)
for name in "${domains[@]}"; do valid+=(--valid "$name=held-out/$name.jsonl"); done

[ -n "$data" ] || kinds=''
suites=() tasks=$data
for name in $kinds; do
    if [ "$per" = 0 ]; then
        suites+=(--suite "$name")
        continue
    fi
    tasks=tasks
    step "$name.json" cat "$here/../ratios/tasks/$name.json"
    step "tasks/eval_$name.jsonl" python3 "$here/../ratios/cloze.py" "$name" held-out/human.jsonl "$per"
    suites+=(--suite "$name.json")
done

# One tokenizer for all models of the study.
if [[ $tokenizer == [0-9]* ]]; then
    step tokenizer/ synth train texts/human.jsonl texts/synthetic.jsonl --arch "$arch" --train-tokenizer "$tokenizer" \
        --context "$context" --tokens "$context" --batch 1
    tokenizer=tokenizer
fi

# ---------------------------------------------------------------- 1. mixtures, and a selection

scratch=(--arch "$arch" --tokenizer "$tokenizer" --context "$context" --batch "$batch" --optimizer "$optimizer"
    --lr "$rate" --schedule cosine --cache tokens)
human=texts/human.jsonl synthetic=texts/synthetic.jsonl

mixtures() {
    local share sources selected=selected/$seed.jsonl
    for share in $shares; do
        case $share in
            0) sources=("$human") ;;
            100) sources=("$synthetic") ;;
            *) sources=("$human=$((100 - share))%" "$synthetic=$share%") ;;
        esac
        costs train "$parameters" "$tokens"
        step "mixtures/$share-$seed/" synth train "${sources[@]}" "${scratch[@]}" --tokens "$tokens" "${valid[@]}" --seed "$seed"
    done
    # Does it help to select what is most like human text?
    step "$selected" synth dsir "$synthetic" --target "$human" -n "$selection" --seed "$seed"
    costs train "$parameters" "$tokens"
    step "mixtures/selected-$seed/" synth train "$selected" "${scratch[@]}" --tokens "$tokens" "${valid[@]}" --seed "$seed"
}

# That the runs are past the floor: perplexity of held-out human text along the run, under the first seed.
curves() {
    local side every=10
    for side in human synthetic; do
        costs train "$parameters" "$tokens"
        step "curves/$side/" synth train "texts/$side.jsonl" "${scratch[@]}" --tokens "$tokens" \
            --valid human=held-out/human.jsonl --valid-every "$every" --seed "${seeds%% *}"
    done
    only_tables || [ -n "$dry_run" ] || for side in human synthetic; do
        points "$side"
    done > rows/curves.jsonl
}
points() { # SIDE: rows of its curve, and of its floor
    local floor log=curves/$1/training/log.jsonl
    floor=$(tr -d ' \n' < "curves/$1/training/report.json" | sed 's/.*"valid_unigram":{"human":\([0-9.]*\)}.*/\1/')
    sed -n 's/.*"tokens": \([0-9]*\),.*"valid": {"human": \([0-9.]*\)}.*/{"text": "'"$1"'", "tokens": \1, "perplexity": \2}/p' "$log"
    sed -n 's/.*"tokens": \([0-9]*\),.*"valid": .*/{"text": "'"unigram of $1"'", "tokens": \1, "perplexity": '"$floor"'}/p' "$log"
}

# ---------------------------------------------------------------- 2. human and synthetic text

# The documents of each seed are others: the intervals are those of documents.
part() { # FILE N: the N documents of this seed, none of which another seed has
    local number=0 count one
    count=$(wc -w <<< "$seeds")
    for one in $seeds; do
        [ "$one" != "$seed" ] || break
        number=$((number + 1))
    done
    synth sample "$1" -n "$(($2 * count))" --or-all | awk -v count="$count" -v number="$number" 'NR % count == number'
}

differences() {
    local side
    for side in human synthetic; do
        step "essays/$side-$seed.jsonl" part "texts/$side.jsonl" "$few"
        costs read "$prior_size" "$((few * 700))"
        step "essays/scored-$side-$seed.arrow" synth ppl "essays/$side-$seed.jsonl" --model "$prior" --format arrow
        step "essays/many-$side-$seed.jsonl" synth sample "texts/$side.jsonl" -n "$many" --or-all --seed "$seed"
        step "essays/words-$side-$seed.jsonl" synth mix "texts/$side.jsonl=100%" --unit words --total "$words" --seed "$seed"
    done
    step "pairs/essays/$seed.json" synth ppl "essays/scored-human-$seed.arrow" "essays/scored-synthetic-$seed.arrow" \
        --compare --bootstrap 0
    step "essays/tokens-$seed.json" synth ppl "essays/human-$seed.jsonl" --model "$prior" --summary
    step "essays/ngrams-$seed.json" synth ngram-hash "essays/words-human-$seed.jsonl" \
        "essays/words-synthetic-$seed.jsonl" --compare --top 40
    step "essays/map-$seed.json" synth embed "essays/many-human-$seed.jsonl" "essays/many-synthetic-$seed.jsonl" \
        --model builtin --max-tokens 256 --map --method pca
    for side in human synthetic; do
        step "essays/density-$side-$seed.json" synth ngram-hash "essays/many-$side-$seed.jsonl" --density \
            --vector-model builtin --width 4
        step "essays/densities-$side-$seed.jsonl" synth ngram-hash "essays/many-$side-$seed.jsonl" --per-record density \
            --vector-model builtin --width 4
    done
}

# The shares of a side's essays in bins of density, a row a bin, side and seed.
densities() {
    for side in human synthetic; do
        for seed in $seeds; do
            synth cat "essays/densities-$side-$seed.jsonl" --select density --quiet | sed "s/.*: *\([0-9.]*\)}/$side $seed \1/"
        done
    done | awk '{ bin = int($3 / 2); of[$1 " " $2]++; count[$1 " " $2, bin]++
            if (NR == 1 || bin < low) low = bin
            if (bin > high) high = bin }
        END { for (one in of) { split(one, name, " ")
            for (bin = low; bin <= high; bin++) printf "{\"text\": \"%s\", \"seed\": %s, \"density\": %d, \"share\": %.6g}\n",
                name[1], name[2], 2 * bin + 1, count[one, bin] / of[one] } }' | sort
}

# The perplexities of other human and synthetic text: passages, what models made of their beginnings, answers.
perplexities() {
    local side
    [ ${#pairs[@]} -gt 1 ] || return 0
    for side in human continuations answers; do
        step "short/$side-$seed.jsonl" part "short/$side.jsonl" "$passages"
        costs read "$prior_size" "$((passages * 250))"
        step "short/scored-$side-$seed.arrow" synth ppl "short/$side-$seed.jsonl" --model "$prior" --format arrow
    done
    for side in continuations answers; do
        step "pairs/$side/$seed.json" synth ppl "short/scored-human-$seed.arrow" "short/scored-$side-$seed.arrow" --compare --bootstrap 0
    done
}

# ---------------------------------------------------------------- 3. edited text

# One scoring serves all samplers and thresholds; seeds differ by their draws, weights and order of rows.
edits() {
    step pool/human.jsonl synth sample "$human" -n "$pool" --or-all
    step pool/chat.jsonl synth sample texts/chat.jsonl --text-field response -n "$talk" --or-all
    costs read "$prior_size" "$((pool * 600))"
    step pool/human.arrow synth ppl pool/human.jsonl --model "$prior" --candidates 64 --format arrow
    costs read "$prior_size" "$((talk * 200))"
    step pool/chat.arrow synth ppl pool/chat.jsonl --text-field response --model "$prior" --candidates 64 --format arrow
}

rules() {
    local rule words kind
    while read -r rule words; do
        read -ra words <<< "$words"
        step "edits/$rule/$seed.jsonl" synth edit pool/human.jsonl --scores pool/human.arrow --model "$prior" "${words[@]}" --seed "$seed" \
            --report "edits/$rule/$seed.json" --force
    done << RULES
at-0.999 --threshold 0.999
at-0.99 --threshold 0.99
at-0.9 --threshold 0.9
at-0.6 --threshold 0.6
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
    step "edits/chat/$seed.jsonl" synth edit pool/chat.jsonl --text-field response --scores pool/chat.arrow --model "$prior" \
        --threshold "$threshold" --seed "$seed"
    step "pool/thrice-$seed.jsonl" part "$human" "$thrice"
    costs read "$prior_size" "$((thrice * 1800))"
    step "edits/thrice/$seed.jsonl" synth edit "pool/thrice-$seed.jsonl" --model "$prior" --threshold "$threshold" \
        --generations 3 --seed "$seed" --report "edits/thrice/$seed.json" --force
}

# asked STAGE/TEXT PARAMETERS: what a model answers.
asked() {
    [ -n "$kinds" ] || return 0
    costs read "$2" "$((held * per * 1000))"
    step "asked/$1/$seed.json" synth eval "stages/$1/$seed" "${suites[@]}" --data "$tasks" --bootstrap 0
}

stages() {
    local text from k
    # The base model as it is, by the same measure and beside the same unigram model: so small a rate changes no weight.
    costs train "$base_size" "$further"
    step "stages/continued/base/$seed/" synth train pool/human.jsonl --from "$base" --tokens "$further" --context "$context" \
        --batch 4 --lr 1e-30 --cache tokens --valid human=held-out/human.jsonl --seed "$seed"
    asked continued/base "$base_size"
    costs train "$base_size" "$further"
    step "stages/tuned/base/$seed/" synth train pool/chat.jsonl --sft --from "$base" --tokens "$further" --context "$((2 * context))" \
        --on-error skip --batch 2 --lr 1e-30 --cache tokens --valid chat=held-out/chat.jsonl --seed "$seed"
    for text in source "at-$threshold" at-0.6 at-0.999 "at-$threshold-top-p" "at-$threshold-rejection" below-0.1 below-0.01 below-0.001; do
        [ "$text" = source ] && from=pool/human.jsonl || from=edits/$text/$seed.jsonl
        costs train "$base_size" "$further"
        step "stages/continued/$text/$seed/" synth train "$from" --from "$base" --tokens "$further" --context "$context" \
            --batch 4 --lr "$further_rate" --cache tokens --valid human=held-out/human.jsonl --seed "$seed"
        asked "continued/$text" "$base_size"
    done
    for text in source "at-$threshold" at-0.6; do
        [ "$text" = source ] && from=pool/human.jsonl || from=edits/$text/$seed.jsonl
        costs train "$parameters" "$again"
        step "stages/scratch/$text/$seed/" synth train "$from" "${scratch[@]}" --tokens "$again" --valid human=held-out/human.jsonl --seed "$seed"
        asked "scratch/$text" "$parameters"
        [ "$text" = at-0.6 ] && [ "$threshold" != 0.6 ] && continue # answers are edited at one threshold
        [ "$text" = source ] && from=pool/chat.jsonl || from=edits/chat/$seed.jsonl
        costs train "$base_size" "$further"
        step "stages/tuned/$text/$seed/" synth train "$from" --sft --from "$base" --tokens "$further" --context "$((2 * context))" \
            --on-error skip --batch 2 --lr "$further_rate" --cache tokens --valid chat=held-out/chat.jsonl --seed "$seed"
    done
    # Text that was edited once, twice, three times, by the built-in model.
    for k in 1 2 3; do
        costs read 4.8M "$((pool * 600 * k))"
        step "edits/generation-$k/$seed.jsonl" synth edit pool/human.jsonl --model builtin --threshold 0.6 --generations "$k" \
            --seed "$seed" --report "edits/generation-$k/$seed.json" --force
        costs train "$parameters" "$again"
        step "stages/scratch/generation-$k/$seed/" synth train "edits/generation-$k/$seed.jsonl" "${scratch[@]}" \
            --tokens "$again" --valid human=held-out/human.jsonl --seed "$seed"
    done
}

# ---------------------------------------------------------------- 4. the linear model

theory() {
    step "theory-$seed.json" synth simulate --generations 10 --seed "$seed"
}

each_seed theory
each_seed mixtures
curves
each_seed differences
only_tables || [ -n "$dry_run" ] || densities > rows/densities.jsonl
each_seed perplexities
edits
each_seed rules
each_seed stages

# ---------------------------------------------------------------- tables

remember names "${domains[*]}"
read -ra domains <<< "$names"
takes=() floors=()
for name in "${domains[@]}" synthetic; do
    takes+=(--take "$name=valid.$name" --take "${name}_unigram=valid_unigram.$name")
    floors+=(--floor "$name=${name}_unigram")
done

# far GROUP [FUNCTION]: the mean of the perplexities of a group over the domains but the essays, of their logarithms by default.
far() {
    local name list=''
    for name in "${domains[@]:1}"; do list+="${list:+, }${2-log}(${name}[$1])"; done
    echo "mean(${list:-log(human[$1])})"
}

read -ra list <<< "$shares"
none=${list[0]} some=${list[1]} half=${list[${#list[@]} / 2]} all=${list[-1]}
gather mixtures 'mixtures/{share}-{seed}/training/report.json' "${takes[@]}"
each=()
for name in "${domains[@]:1}"; do
    each+=(--claim "$name: harder without human text than without synthetic text: ${name}[share=$none] < ${name}[share=$all]")
done
table mixtures --by share --over seed --columns "human,human_unigram,$(IFS=,; echo "${domains[*]:1}"),synthetic" "${floors[@]}" \
    --claim "Perplexity of human text rises from $none to $half to $all % synthetic: log(human[share=$none]) < log(human[share=$half]) < log(human[share=$all])" \
    --claim "Already $some % raise it: log(human[share=$none]) < log(human[share=$some])" \
    --claim "Without human text it is higher than without synthetic text: log(human[share=$none]) < log(human[share=$all])" \
    --claim "So it is over other domains, from $none to $half to $all % (geometric mean): $(far "share=$none") < $(far "share=$half") < $(far "share=$all")" \
    --claim "Over other domains, without human text against without synthetic text (geometric mean): $(far "share=$none") < $(far "share=$all")" \
    --claim "The same by the arithmetic mean, as in the paper's table: $(far "share=$none" '') < $(far "share=$all" '')" \
    "${each[@]}" \
    --claim "Synthetic text selected by DSIR does not replace human text: log(human[share=$none]) < log(human[share=selected])" \
    --claim "Selection by DSIR is better than none: log(human[share=selected]) < log(human[share=$all])"

remember compared "${pairs[*]}"
read -ra pairs <<< "$compared"
gather pairs 'pairs/{pair}/{seed}.json' --take 'human_median=inputs[0].median' --take 'synthetic_median=inputs[1].median' \
    --take 'overlap=pairs[0].overlap' --take 'above=pairs[0].left_above_p99'
each=()
for name in "${pairs[@]}"; do
    each+=(--claim "$name: human text is the harder: human_median[pair=$name] > synthetic_median[pair=$name]"
        --claim "$name: synthetic text leaves out the human tail (more than 5 % of human text above its 99th percentile): above[pair=$name] > 0.05")
done
table pairs --by pair --over seed "${each[@]}"

gather differences 'essays/tokens-{seed}.json' 'essays/ngrams-{seed}.json' 'essays/map-{seed}.json' \
    'essays/density-human-{seed}.json' 'essays/density-synthetic-{seed}.json' \
    --take 'human_buckets=inputs[0].effective_buckets@*ngrams*' \
    --take 'synthetic_buckets=inputs[1].effective_buckets@*ngrams*' \
    --take 'p_low=token_probability.shares[0]' --take 'p_middle=token_probability.shares[5]' \
    --take 'p_high=token_probability.shares[9]' \
    --take 'neighbours=pairs[0].knn_accuracy.value' --take 'by_chance=pairs[0].knn_accuracy.expected' \
    --take 'human_density=mean@*density-human*' --take 'synthetic_density=mean@*density-synthetic*'
table differences --by '' --over seed \
    --claim 'N-grams of as many words of synthetic text fill fewer buckets: synthetic_buckets < human_buckets' \
    --claim 'Probabilities of human tokens make a U (the highest tenth above a middle one): p_low > p_middle < p_high' \
    --claim 'Human and synthetic text lie apart (nearest neighbours): neighbours > by_chance' \
    --claim 'Vectors of synthetic text lie the denser: human_density < synthetic_density'

edited="text=at-$threshold"
remember asked "$kinds"
reports=('stages/{stage}/{text}/{seed}/training/report.json') answers=() floors=() each=()
# What a model answers is judged where it is above guessing; boolq is guessed by always saying the same.
declare -A guessed=([piqa]=0.5 [boolq]=0.62 [winogrande]=0.5)
for name in $asked; do
    [ "$per" = 0 ] && suite=$name || suite="\"$name.json\""
    answers+=(--take "$name=suites.$suite.figures.accuracy")
    floors+=(--floor "$name>${guessed[$name]:-0.25}")
done
[ -z "$asked" ] || reports+=('asked/{stage}/{text}/{seed}.json')
right() { # STAGE TEXT: the mean share of right answers
    local name list=''
    for name in $asked; do list+="${list:+, }$name[stage=$1,text=$2]"; done
    echo "mean($list)"
}
[ -z "$asked" ] || each=(
    --claim "Answers: edited text is the better to pre-train on: $(right scratch "at-$threshold") > $(right scratch source)"
    --claim "Answers: edited text is the better to continue on: $(right continued "at-$threshold") > $(right continued source)"
    --claim "Answers: at 0.6, edited text is the better to pre-train on: $(right scratch at-0.6) > $(right scratch source)"
    --claim "Answers: at 0.6, edited text is the better to continue on: $(right continued at-0.6) > $(right continued source)"
    --claim "Answers: edits at $threshold are better than at 0.999: $(right continued "at-$threshold") > $(right continued at-0.999)"
    --claim "Answers: edits at $threshold are better than edits below 0.1: $(right continued "at-$threshold") > $(right continued below-0.1)"
    --claim "Answers: edits below 0.001 are the best: $(right continued below-0.001) > $(right continued "at-$threshold")"
)
gather stages "${reports[@]}" --take human=valid.human --take human_unigram=valid_unigram.human \
    --take chat=valid.chat --take chat_unigram=valid_unigram.chat ${answers[@]+"${answers[@]}"}
continued() { echo "human[stage=continued,text=$1]"; }
table stages --by stage,text --over seed --floor human=human_unigram --floor chat=chat_unigram ${floors[@]+"${floors[@]}"} \
    --claim "Edited text is the better to pre-train on: human[stage=scratch,$edited] < human[stage=scratch,text=source]" \
    --claim "Edited text is the better to continue on: human[stage=continued,$edited] < $(continued source)" \
    --claim "Edited answers are the better to tune on: chat[stage=tuned,$edited] < chat[stage=tuned,text=source]" \
    --claim "At 0.6, edited text is the better to pre-train on: human[stage=scratch,text=at-0.6] < human[stage=scratch,text=source]" \
    --claim "At 0.6, edited text is the better to continue on: $(continued at-0.6) < $(continued source)" \
    --claim "Edits at $threshold are better than at 0.999: $(continued "at-$threshold") < $(continued at-0.999)" \
    --claim "Edits at $threshold are better than edits below 0.1: $(continued "at-$threshold") < $(continued below-0.1)" \
    --claim "Edits at $threshold are better than edits below 0.01: $(continued "at-$threshold") < $(continued below-0.01)" \
    --claim "Edits below 0.001 are the best: $(continued below-0.001) < $(continued "at-$threshold")" \
    --claim "Edits below 0.1 are worse than those below 0.01, and these than those below 0.001: $(continued below-0.1) > $(continued below-0.01) > $(continued below-0.001)" \
    --claim "Three generations of edits raise perplexity by less than 5 %: human[stage=scratch,text=generation-3] < 1.05 * human[stage=scratch,text=source]" ${each[@]+"${each[@]}"}

gather edits 'edits/{rule}/{seed}.json' --take 'flagged=generations[0].flagged_share' \
    --take 'changed=generations[0].changed_share' --take 'second=generations[1].flagged_share' \
    --take 'third=generations[2].flagged_share'
table edits --by rule --over seed \
    --claim "Most draws return the token that stood there (at most 8.21 % of the flagged change at 0.99, k = 8, β = 1.5): changed[rule=at-0.99] <= 0.0821 * flagged[rule=at-0.99]" \
    --claim 'Each generation of edits flags fewer tokens: flagged[rule=thrice] > second[rule=thrice] > third[rule=thrice]' \
    --claim 'So they do by the built-in model at 0.6: flagged[rule=generation-3] > second[rule=generation-3] > third[rule=generation-3]' \
    --claim 'The second flags 0.94 as many as the first: second[rule=thrice] / flagged[rule=thrice] = 0.94 ± 5 %'

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

# As curves: the shares alone; the runs against their floor.
if [ -z "$dry_run" ]; then
    pictures=$(dirname "$readme")
    synth cat "$rows/mixtures.jsonl" --where 'share!=selected' --quiet |
        synth table - --by share --over seed --columns "$(IFS=,; echo "${domains[*]}"),synthetic" --plot "$pictures/mixtures.png" --force > /dev/null
    synth table "$rows/densities.jsonl" --by text,density --over seed --plot "$pictures/densities.png" --force > /dev/null
    synth table "$rows/curves.jsonl" --by text,tokens --plot "$pictures/curves.png" --force > /dev/null
fi
if [ -z "$dry_run" ] && ! only_tables; then
    first=${seeds%% *}
    synth plot "pairs/essays/$first.json" "essays/density-human-$first.json" "essays/density-synthetic-$first.json" \
        "essays/ngrams-$first.json" "essays/tokens-$first.json" \
        "essays/map-$first.json" "theory-$first.json" tables/*.json -o page.html --force
fi
finished
