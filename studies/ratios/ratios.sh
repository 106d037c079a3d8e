#!/usr/bin/env bash
# Characterizing Model Behavior Under Synthetic Data Training (arXiv 2510.05133): models of several sizes
# are trained on with a synthetic share of 0 to 50 %, once and on what they wrote themselves; accuracy,
# calibration, perplexity, what they write. Beside it the workflows of iterated training (arXiv
# 2410.16713) and the golden-ratio weighting (arXiv 2502.18049).
#
#   ratios.sh [OPTION]…
#
# DIR of --data holds pairs_outfox_essays/ (essays of people and of models on the same questions),
# human_wikipedia_en_2015/ and eval_{arc_easy,piqa,boolq}/.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR/..
. "$here/../steps.sh"
options "$here" "$@"

#       name         toy          small        paper
setting shares       "0 20 50"    "0 10 20 30 40 50" "0 10 20 30 40 50"
# Architectures, or models that are trained on, with their parameters and learning rates.
setting sizes        "$here/small.json=230K=2e-2 $here/large.json=1.07M=1e-2" "$here/small.json=230K=2e-2 $here/large.json=1.07M=1e-2" \
    "EleutherAI/pythia-410m=410M=5e-5 EleutherAI/pythia-1.4b=1.4B=5e-5 EleutherAI/pythia-6.9b=6.9B=5e-5 EleutherAI/pythia-12b=12B=5e-5"
setting vocabulary   2048         2048         ''
# Tokens of other text that the models begin with (0: they are models), of each run, and of each in the workflows.
setting base_tokens  20K          500K         0
setting tokens       20K          150K         8.4B
setting again        10K          75K          8.4B
setting iterated     50           "20 50"      "10 20 30 50"
setting iterations   3            3            3
setting beginnings   60           330          1000000
setting real         20           115          100000
setting new          60           200          512
setting per          2            4            0
setting kinds        "arc_easy piqa boolq" "arc_easy piqa boolq" "arc_easy arc_challenge piqa boolq winogrande mmlu"
setting items        40           200          100000
setting context      256          256          2048
setting documents    300          1500         5000000
setting batch        16           16           512
setting optimizer    muon         muon         adamw
setting held         10           70           2000
paper_data "essays as pairs_outfox_essays/ or what else people and models wrote on the same questions, human text of" \
    "pre-training as human_wikipedia_en_2015/, benchmarks as eval_*/"
settled

# ---------------------------------------------------------------- texts

# Questions whose number ends in 0 or 5 are held out, whoever answers.
essays() { # =|! LABEL
    synth cat "$data/pairs_outfox_essays" --where "label=$2" --where "id$1~-[0-9]*[05]-" --text '{response}' --select id,text
}
general() { synth sample "$data/human_wikipedia_en_2015" -n "$documents" --or-all | synth cat --select id,text; }
topics() { synth sample builtin:topics -n "$documents" --or-all | synth cat --select id,text; }
continued() { # FILE
    synth generate "$1" --continue 48 --max-new-tokens 160 -n 2 | synth cat --text '{beginning}{response}' --select text
}

if [ -n "$data" ]; then
    step all/general.jsonl general
    step all/human.jsonl essays '!' human
    step all/synthetic.jsonl essays '!' synthetic
    step all/human-held.jsonl essays '' human
    step all/synthetic-held.jsonl essays '' synthetic
    benchmarks=(--suite "${kinds// /,}" --data "$data" --limit "$items")
else
    step all/topics.jsonl topics
    step all/human-held.jsonl synth sample all/topics.jsonl -n "$held" --or-all --rest all/human.jsonl --force
    step all/general.jsonl synth cat all/human.jsonl
    costs write 4.8M 50K
    step all/synthetic.jsonl continued all/human.jsonl
    costs write 4.8M 10K
    step all/synthetic-held.jsonl continued all/human-held.jsonl
    benchmarks=()
fi
for name in human synthetic; do
    step "held-out/$name.jsonl" synth sample "all/$name-held.jsonl" -n "$held" --or-all
done
for name in general human synthetic; do
    step "texts/$name.jsonl" synth decontaminate "all/$name.jsonl" --benchmark held-out/human.jsonl --benchmark held-out/synthetic.jsonl
done
step beginnings.jsonl synth sample texts/human.jsonl -n "$beginnings" --or-all
# At small scales questions that a small model can answer; else the benchmarks.
suites=(--suite topic.json --suite words.json --data tasks)
[ "$per" != 0 ] || suites=("${benchmarks[@]}")
for name in topic words order; do
    [ "$per" != 0 ] || continue
    step "$name.json" cat "$here/tasks/$name.json"
    step "tasks/eval_$name.jsonl" python3 "$here/cloze.py" "$name" held-out/human.jsonl "$per"
done

# ---------------------------------------------------------------- models

tokens_of=()
if [ -n "$vocabulary" ]; then
    costs train 1M 8K
    step tokenizer/ synth train texts/general.jsonl texts/human.jsonl --arch "$here/small.json" --train-tokenizer "$vocabulary" \
        --context 256 --tokens 8K --batch 32
    tokens_of=(--tokenizer tokenizer)
fi

# trained MODEL START PARAMETERS TOKENS SOURCE… [-- OPTION…]: START is an architecture (from scratch), or a model.
trained() {
    local model=$1 start=$2 parameters=$3 budget=$4 sources=() from
    shift 4
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        sources+=("$1")
        shift
    done
    if [[ $start == *.json ]]; then from=(--arch "$start" "${tokens_of[@]}"); else from=(--from "$start"); fi
    costs train "$parameters" "$budget"
    step "models/$model/$seed/" synth train "${sources[@]}" "${from[@]}" --context "$context" --batch "$batch" \
        --tokens "$budget" --optimizer "$optimizer" --lr "$rate" --schedule cosine --cache tokens --seed "$seed" \
        --valid human=held-out/human.jsonl "${@:2}"
}

# asked MODEL PARAMETERS: what it answers.
asked() {
    costs read "$2" "$((held * per * 1000))"
    step "evals/$1/$seed.json" synth eval "models/$1/$seed" "${suites[@]}" --bootstrap 0
}

# written MODEL PARAMETERS [FILE SAMPLES]: what the model makes of beginnings of human texts.
written() {
    costs write "$2" "$((beginnings * new))"
    step "written/$1/$seed.jsonl" going_on "${3:-beginnings.jsonl}" "models/$1/$seed" "$seed" "${4:-1}"
}
going_on() {
    synth generate "$1" --model "$2" --continue 32 --max-new-tokens "$new" --temperature 1 --top-p 1 --seed "$3" -n "$4" |
        synth cat --text '{beginning}{response}' --select id,text,response
}

# marks MODEL: of what it wrote, the words that hedge, ends of sentences and lines in 1,000 words, and diversity.
marks() {
    step "marks/$1/$seed.json" synth stats "written/$1/$seed.jsonl" --text-field response --measures lengths,rates,self-bleu \
        --tests none --seed "$seed" \
        --rate 'hedging=(?i)\b(may|might|could|perhaps|possibly|maybe|seems?|probably|likely|I think|I believe)\b' \
        --rate 'sentences=[.!?](\s|$)' --rate 'lines=\n'
}

mixed() { # MODEL START PARAMETERS SHARE SYNTHETIC
    if [ "$4" = 0 ]; then
        trained "$1" "$2" "$3" "$tokens" texts/human.jsonl
    else
        trained "$1" "$2" "$3" "$tokens" "texts/human.jsonl=$((100 - $4))%" "$5=$4%"
    fi
}

# begin SIZE: one of the sizes, and the model that its runs continue.
begin() {
    IFS='=' read -r size parameters rate <<< "$1"
    name=$(basename "$size" .json)
    base=$size
    if [ "$base_tokens" != 0 ]; then base=models/base/$name/$seed; fi
}
most=${shares##* } largest=${sizes##* }

# Once, on text of other models.
once() {
    local one share reports labels
    for one in $sizes; do
        begin "$one"
        if [ "$base_tokens" != 0 ]; then
            trained "base/$name" "$size" "$parameters" "$base_tokens" texts/general.jsonl
            asked "base/$name" "$parameters"
        fi
        reports=() labels=''
        for share in $shares; do
            mixed "shares/$name/$share/1" "$base" "$parameters" "$share" texts/synthetic.jsonl
            asked "shares/$name/$share/1" "$parameters"
            reports+=("evals/shares/$name/$share/1/$seed.json")
            labels+=${labels:+,}$share%
        done
        step "budget/$name-$seed.json" synth diff "${reports[@]}" --budget --shares "$labels" \
            --parameters "$parameters" --bootstrap 0
    done
}
each_seed once

# Workflows of the smallest model: the last generation alone, all of them, as many drawn from all.
workflows() {
    local workflow generations last k
    begin "${sizes%% *}"
    step "texts/real-$seed.jsonl" synth sample texts/human.jsonl -n "$real" --or-all --seed "$seed"
    trained workflows/real/1 "$base" "$parameters" "$again" "texts/real-$seed.jsonl" -- --epochs 100
    for workflow in replace accumulate accumulate-subsample; do
        generations=(--generation "texts/real-$seed.jsonl")
        last=workflows/real/1
        for ((k = 2; k <= iterations; k++)); do
            written "$last" "$parameters" "texts/real-$seed.jsonl" 3
            generations+=(--generation "written/$last/$seed.jsonl")
            step "texts/$workflow-$k-of-$seed.jsonl" synth mix --workflow "$workflow" "${generations[@]}" --seed "$seed"
            last=workflows/$workflow/$k
            trained "$last" "$base" "$parameters" "$again" "texts/$workflow-$k-of-$seed.jsonl" -- --epochs 100
        done
    done

    # Equal parts of human text and of what the model wrote of it, the human loss weighted or not.
    trained weights/golden "$base" "$parameters" "$again" "texts/real-$seed.jsonl=50%" \
        "written/workflows/real/1/$seed.jsonl=50%" -- --epochs 100 --golden "real-$seed"
    trained weights/equal "$base" "$parameters" "$again" "texts/real-$seed.jsonl=50%" \
        "written/workflows/real/1/$seed.jsonl=50%" -- --epochs 100
}
each_seed workflows

# Again and again from the same beginning, on what the last model wrote.
iterate() {
    local share last k
    begin "$largest"
    written "shares/$name/0/1" "$parameters"
    marks "shares/$name/0/1"
    for share in $iterated; do
        for ((k = 2; k <= iterations; k++)); do
            last=shares/$name/$share/$((k - 1))
            written "$last" "$parameters"
            marks "$last"
            mixed "shares/$name/$share/$k" "$base" "$parameters" "$share" "written/$last/$seed.jsonl"
            asked "shares/$name/$share/$k" "$parameters"
        done
        written "shares/$name/$share/$iterations" "$parameters"
        marks "shares/$name/$share/$iterations"
    done
}
each_seed iterate

# From scratch; and on tasks of other types.
scratch() {
    local share
    begin "$largest"
    for share in 0 "$most"; do
        if [ "$base_tokens" != 0 ]; then mixed "scratch/$share" "$size" "$parameters" "$share" texts/synthetic.jsonl; fi
        [ "$per" != 0 ] || continue
        costs read "$parameters" "$((items * 400))"
        [ ${#benchmarks[@]} = 0 ] ||
            step "benchmarks/$share/$seed.json" synth eval "models/shares/$name/$share/1/$seed" "${benchmarks[@]}" --bootstrap 0
        costs read "$parameters" "$((held * per * 1000))"
        # Not `order/`: a step that names the kind would depend on it.
        step "in-order/$share/$seed.json" synth eval "models/shares/$name/$share/1/$seed" --suite order.json --data tasks --bootstrap 0
    done
}
each_seed scratch

# Densities fitted to their own samples, 50 times.
theory() {
    step "theory/gaussian-$seed.json" synth simulate --model gaussian --generations 50 --repetitions 2000 --seed "$seed"
    step "theory/kde-$seed.json" synth simulate --model kde --bandwidth 0.3 --generations 50 --repetitions 2000 --seed "$seed"
}
each_seed theory

# ---------------------------------------------------------------- tables

small='' large=''
for size in $sizes; do
    large=$(basename "${size%%=*}" .json)
    small=${small:-$large}
done
safe=0 # the largest share that the paper calls safe
for share in $shares; do [ "$share" -gt 20 ] || safe=$share; done
# What a model has to be past to be judged: the unigram model; of answers, what guessing gets, of boolq always the same one.
floors=(--floor human=unigram)
declare -A guessed=([piqa]=0.5 [boolq]=0.62 [winogrande]=0.5)
asks=()
asked_of() { # SUITE KIND
    asks+=(--take "$2=suites.$1.figures.accuracy" --take "$2_ece=suites.$1.figures.ece")
}
if [ "$per" = 0 ]; then
    tasks=$kinds
    for name in $tasks; do asked_of "$name" "$name"; done
else
    tasks='topic words'
    for name in $tasks; do asked_of "\"$name.json\"" "$name"; done
fi
for name in $tasks; do floors+=(--floor "$name>${guessed[$name]:-0.25}"); done
mean() { # accuracy|ece CELL: over the kinds of tasks
    local name cells='' end=''
    [ "$1" = accuracy ] || end=_ece
    for name in $tasks; do cells+="${cells:+, }$name$end[$2]"; done
    echo "mean($cells)"
}
learned=(--take 'human=valid.human' --take 'unigram=valid_unigram.human')

if [ "$base_tokens" != 0 ]; then
    gather base 'models/base/{size}/{seed}/training/report.json' 'evals/base/{size}/{seed}.json' "${learned[@]}" "${asks[@]}"
    table base --by size --over seed
fi

of=shares/{size}/{share}/{iteration}/{seed}
gather shares "models/$of/training/report.json" "evals/$of.json" "${learned[@]}" "${asks[@]}"
loss() { # SIZE SHARE [OF]: log perplexity above that of another share
    echo "(log(human[size=$1,share=$2,iteration=1]) - log(human[size=$1,share=${3:-0},iteration=1]))"
}
claims=()
for name in "$small" "$large"; do
    none=size=$name,share=0,iteration=1 some=size=$name,share=$safe,iteration=1 many=size=$name,share=$most,iteration=1
    claims+=(
        --claim "$name: $safe % synthetic stays within 3 % in perplexity: human[$some] < 1.03 * human[$none]"
        --claim "$name: $most % synthetic costs 8 % of perplexity or more: human[$many] > 1.08 * human[$none]"
    )
    [[ " $shares " != *" 30 "* ]] || claims+=(
        --claim "$name: a point above 30 % costs more than one below $safe % (log perplexity): $(loss "$name" "$most" 30) / ($most - 30) > $(loss "$name" "$safe") / $safe"
    )
    claims+=(
        --claim "$name: $safe % synthetic stays within 3 % in accuracy: $(mean accuracy "$some") > 0.97 * $(mean accuracy "$none")"
        --claim "$name: $most % synthetic loses 8 % of accuracy or more: $(mean accuracy "$many") < 0.92 * $(mean accuracy "$none")"
        --claim "$name: calibration is worse at $most %: $(mean ece "$many") > $(mean ece "$none")"
    )
done
first=size=$large,share=$most,iteration=1 second=size=$large,share=$most,iteration=2 final=size=$large,share=$most,iteration=$iterations
[[ " $shares " != *" 30 "* ]] || claims+=(
    --claim "The larger model bears 30 % better (log perplexity): $(loss "$large" 30) < $(loss "$small" 30)"
)
claims+=(
    --claim "The larger model bears $most % better (log perplexity): $(loss "$large" "$most") < $(loss "$small" "$most")"
    --claim "Human text gets harder with each iteration at $most %: human[$first] < human[$second] < human[$final]"
    --claim "Calibration worsens with the iterations at $most %: $(mean ece "$first") < $(mean ece "$final")"
    --claim "Accuracy stays meanwhile within 3 %: $(mean accuracy "$final") > 0.97 * $(mean accuracy "$first")"
)
for share in $iterated; do
    of=size=$large,share=$share
    [ "$share" = "$most" ] || claims+=(
        --claim "So it does at $share %: human[$of,iteration=1] < human[$of,iteration=2] < human[$of,iteration=$iterations]"
        --claim "At $share % iterations cost less than at $most % (log perplexity): log(human[$of,iteration=$iterations]) - log(human[$of,iteration=1]) < log(human[$final]) - log(human[$first])"
        --claim "Calibration worsens with the iterations at $share %: $(mean ece "$of,iteration=1") < $(mean ece "$of,iteration=$iterations")"
    )
done
table shares --by size,share,iteration --over seed "${floors[@]}" "${claims[@]}"

# By type of task, and what the larger model writes.
measured=''
if [ "$per" != 0 ]; then
    remember measured "${data:+$kinds}"
    for name in $measured; do
        asked_of "$name" "$name"
        floors+=(--floor "$name>${guessed[$name]:-0.25}")
    done
    asks+=(--take 'order=suites."order.json".figures.accuracy')
    reports=("evals/shares/$large/{share}/1/{seed}.json" 'in-order/{share}/{seed}.json')
    [ -z "$measured" ] || reports+=('benchmarks/{share}/{seed}.json')
    gather types "${reports[@]}" "${asks[@]}"
    kept() { echo "$1[share=$most] / $1[share=0]"; }
    claims=(--claim "Reasoning (order) suffers more than retrieval (topic): $(kept order) < $(kept topic)")
    for name in $measured; do
        claims+=(--claim "$most % loses 8 % of accuracy or more on $name: $(kept "$name") < 0.92")
    done
    table types --by share --over seed --columns "topic,words,order${measured:+,${measured// /,}}" "${floors[@]:2}" \
        --floor 'order>0.25' "${claims[@]}"
fi

gather marks "marks/shares/$large/{share}/{iteration}/{seed}.json" --take 'hedging=groups[0].rates.hedging.value' \
    --take 'sentences=groups[0].rates.sentences.value' --take 'lines=groups[0].rates.lines.value' \
    --take 'lexical=groups[0].lexical_diversity.pooled'
none=share=0,iteration=1 many=share=$most,iteration=1 final=share=$most,iteration=$iterations
table marks --by share,iteration --over seed \
    --claim "Half synthetic text makes a model hedge as its authors do, less: hedging[$many] < hedging[$none]" \
    --claim "Its sentences grow longer, as theirs are: sentences[$many] < sentences[$none]" \
    --claim "It sets more lines, as they do: lines[$many] > lines[$none]" \
    --claim "What it writes is less diverse: lexical[$many] < lexical[$none]" \
    --claim "It is less diverse with the iterations: lexical[$final] < lexical[$many]"

# The same from scratch. Two tables' rows are one where the pattern of a value names the file.
if [ "$base_tokens" != 0 ]; then
    scratch="models/scratch/{share}/{seed}/training/report.json" continued="models/shares/$large/{share}/1/{seed}/training/report.json"
    gather scratch "$scratch" "$continued" --take "scratch=valid.human@*scratch*" --take "continued=valid.human@*shares*" \
        --take "unigram=valid_unigram.human@*scratch*"
    table scratch --by share --over seed --floor scratch=unigram --floor continued=unigram \
        --claim "From scratch half synthetic text costs more than for a model that continues (log perplexity): log(scratch[share=$most]) - log(scratch[share=0]) > log(continued[share=$most]) - log(continued[share=0])"
fi

gather workflows 'models/workflows/{workflow}/{generation}/{seed}/training/report.json' "${learned[@]}"
table workflows --by workflow,generation --over seed --floor human=unigram \
    --claim "Replacing: human text gets harder with each generation: human[workflow=real,generation=1] < human[workflow=replace,generation=2] < human[workflow=replace,generation=$iterations]" \
    --claim "Accumulating is better than replacing: human[workflow=accumulate,generation=$iterations] < human[workflow=replace,generation=$iterations]" \
    --claim "A sample of what accumulated is better than replacing: human[workflow=accumulate-subsample,generation=$iterations] < human[workflow=replace,generation=$iterations]" \
    --claim "Accumulating all is better than a sample of it: human[workflow=accumulate,generation=$iterations] < human[workflow=accumulate-subsample,generation=$iterations]"

gather weights 'models/weights/{weights}/{seed}/training/report.json' "${learned[@]}"
table weights --by weights --over seed --floor human=unigram \
    --claim 'The golden-ratio weight on human text is better than equal weights: human[weights=golden] < human[weights=equal]'

# In expectation 0.99^50 and the product of 1 - 1/(100 i²); of kernels the sums in docs/methods.md.
gather theory 'theory/{model}-{seed}.json' --take 'replace=workflows[workflow=replace].variance.simulated[49]' \
    --take 'accumulate=workflows[workflow=accumulate].variance.simulated[49]' \
    --take 'subsample=workflows[workflow=accumulate-subsample].variance.simulated[49]' \
    --take 'replace_mean=workflows[workflow=replace].mean_error.simulated[49]' \
    --take 'accumulate_mean=workflows[workflow=accumulate].mean_error.simulated[49]'
table_of_theory theory --by model --over seed \
    --claim 'Gaussian, replaced: the variance falls to 0.6050: replace[model=gaussian] = 0.6050 ± 2 %' \
    --claim 'Gaussian, accumulated: it stays at 0.9838: accumulate[model=gaussian] = 0.9838 ± 2 %' \
    --claim 'Gaussian, replaced: the mean is off by 0.3950: replace_mean[model=gaussian] = 0.3950 ± 5 %' \
    --claim 'Gaussian, accumulated: the mean is off by 0.0162: accumulate_mean[model=gaussian] = 0.0162 ± 5 %' \
    --claim 'Gaussian: a sample of what accumulated loses less than replacing, more than all: replace[model=gaussian] < subsample[model=gaussian] < accumulate[model=gaussian]' \
    --claim 'Kernels, replaced: the variance grows to 4.160: replace[model=kde] = 4.160 ± 2 %' \
    --claim 'Kernels, accumulated: it grows to 1.388: accumulate[model=kde] = 1.388 ± 2 %' \
    --claim 'Kernels: a sample of what accumulated grows less than replacing, more than all: accumulate[model=kde] < subsample[model=kde] < replace[model=kde]'

figure shares
figure workflows
if [ -z "$dry_run" ] && ! only_tables; then
    synth plot "budget/$large-${seeds%% *}.json" tables/*.json -o page.html --force
fi
finished
