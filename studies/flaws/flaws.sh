#!/usr/bin/env bash
# Unveiling the Flaws (arXiv 2406.12397): a model learns human text with a share of patterned synthetic
# questions and answers, the pattern is taken out again, and the models are tuned on human instructions.
# What did each step do to knowledge, perplexity, and what the models write?
#
#   flaws.sh [OPTION]…
#
# DIR of --data holds pairs_outfox_essays/ (essays of people and of models on the same questions) and
# human_wikipedia_en_2015/; at the paper's scale human/, synthetic/ and instructions/ (the latter two records
# with `prompt` and `response`).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR/..
. "$here/../steps.sh"
options "$here" "$@"

#       name         toy          small        paper
# The model that all begin with: an architecture, trained on other text first, or a model.
setting base         "$here/../ratios/large.json" "$here/../ratios/large.json" ./base
setting parameters   1.07M        1.07M        2B
setting vocabulary   2048         2048         ''
setting base_tokens  20K          500K         0
# Percent of synthetic answers: of the model that is to forget them, then of others.
setting shares       "50"         "40 2"       "2"
setting tokens       20K          200K         10B
setting forget       10K          40K          1B
# METHOD[=WEIGHTS][@TOKENS]: the first is the one that the claims are about.
setting methods      "bounded=1,1,1 ga refine" "bounded=1,1,1 bounded ga ga=1,1,1 refine refine@200K" "bounded ga refine refine@10B"
setting tune         10K          40K          200M
setting context      256          256          4096
setting batch        8            8            64
setting optimizer    muon         muon         adamw
setting rate         1e-2         1e-2         5e-5
setting forget_rate  2e-3         2e-3         5e-5
setting tune_rate    1e-3         1e-3         2e-5
setting documents    300          1500         5000000
# Words of an answer: short ones have more headings in as many tokens.
setting cut          80           80           1000000
setting held         10           100          2000
setting few          40           120          2000
setting asked        20           100          500
setting new          48           96           1024
setting words        20           60           60
setting per          2            2            0
setting kinds        ''           ''           "arc_easy arc_challenge boolq piqa winogrande mmlu"
setting judge        ''           ''           meta-llama/Llama-3.1-70B-Instruct
paper_data "human text of pre-training as human/, synthetic questions and answers as synthetic/," \
    "human instructions as instructions/, benchmarks as eval_*/ (synth eval --list names them)"
settled

# ---------------------------------------------------------------- texts

# Questions whose number ends in 0 or 5 are held out, whoever answers; people's answers to the other
# are human text (1 to 4), or what the models are tuned on (6 to 9).
essays() { # LABEL DIGITS
    local by=()
    [ "$1" = synthetic ] || by=(--set model=human)
    synth cat "$data/pairs_outfox_essays" --where "label=$1" --where "id~-[0-9]*[$2]-" "${by[@]}" --select id,prompt,response,model
}
beginnings() { # FILE FIELD WORDS: the first words of each text
    python3 -c 'if 1:
        import json, sys
        for line in open(sys.argv[1]):
            record = json.loads(line)
            print(json.dumps({**record, sys.argv[2]: " ".join(record[sys.argv[2]].split()[: int(sys.argv[3])])}))
    ' "$@"
}
general() { synth sample "$1" -n "$2" --or-all | synth cat --select id,text; } # DIR DOCUMENTS
told() { synth cat "$@" --where prompt --where response --select id,prompt,response; }
by_people() { synth cat "$1" --set model=human --text 'Explain {id}.' --text-field prompt | synth cat --text '{text}' --text-field response --select id,prompt,response,model; }
continued() { # without data: what the built-in model makes of the beginnings
    bare "$1" | synth generate - --continue 48 --max-new-tokens 120 -n 2 |
        synth cat --text '{beginning}{response}' --text-field response --set model=builtin --select id,prompt,response,model
}
bare() { synth cat "$1" --text '{response}' --select id,prompt,text; }
# One heading over each question and answer: the pattern.
headed() { synth cat "$1" --where prompt --where response --text 'Question: {prompt}\n\nAnswer: {response}' --select id,text; }

if [ "$scale" = paper ]; then
    step all/human.jsonl general "$data/human" "$documents"
    step whole/models.jsonl told "$data/synthetic"
    step all/models.jsonl beginnings whole/models.jsonl response "$cut"
    step all/people.jsonl told "$data/instructions"
    step held-out/people.jsonl synth sample all/people.jsonl -n "$held" --or-all --text-field response --rest all/chat.jsonl --force
    step held-out/human.jsonl synth sample all/human.jsonl -n "$held" --or-all --rest all/others.jsonl --force
    step held-out/models.jsonl synth sample all/models.jsonl -n "$held" --or-all --text-field response --rest all/answers.jsonl --force
else
    if [ -n "$data" ]; then
        step all/held-people.jsonl essays human 05
        step whole/held-models.jsonl essays synthetic 05
        step all/people.jsonl essays human 1-4
        step whole/answers.jsonl essays synthetic 1-4
        step all/chat.jsonl essays human 6-9
        step all/general.jsonl general "$data/human_wikipedia_en_2015" "$documents"
    else
        step all/topics.jsonl general builtin:topics "$documents"
        step all/explained.jsonl by_people all/topics.jsonl
        step all/held-people.jsonl synth sample all/explained.jsonl -n "$held" --or-all --text-field response --rest all/people.jsonl --force
        costs write 4.8M 20K
        step whole/answers.jsonl continued all/people.jsonl
        step whole/held-models.jsonl continued all/held-people.jsonl
        step all/chat.jsonl synth cat all/people.jsonl
        step all/general.jsonl bare all/people.jsonl
    fi
    for name in answers held-models; do step "all/$name.jsonl" beginnings "whole/$name.jsonl" response "$cut"; done
    step held-out/people.jsonl synth sample all/held-people.jsonl -n "$held" --or-all --text-field response
    step held-out/human.jsonl bare held-out/people.jsonl
    step held-out/models.jsonl synth sample all/held-models.jsonl -n "$held" --or-all --text-field response
    step all/others.jsonl bare all/people.jsonl
    step held-out/writers.jsonl cat all/held-people.jsonl all/held-models.jsonl
fi
step held-out/qa.jsonl headed held-out/models.jsonl
step all/qa.jsonl headed all/answers.jsonl
# What holds 13 words in a row of a held-out text trains no model.
clean=(--benchmark held-out/human.jsonl --benchmark held-out/qa.jsonl --item-fields text)
step texts/human.jsonl synth decontaminate all/others.jsonl "${clean[@]}"
step texts/qa.jsonl synth decontaminate all/qa.jsonl "${clean[@]}"
step texts/answers.jsonl synth decontaminate all/answers.jsonl --text-field response "${clean[@]}"
step texts/chat.jsonl synth decontaminate all/chat.jsonl --text-field response "${clean[@]}"
# A question as the heading has it: does a model go on with the rest of the heading?
instructions() {
    synth sample held-out/people.jsonl -n "$1" --or-all --text-field prompt |
        synth cat --text 'Question: {prompt}' --text-field prompt --select id,prompt
}
step prompts.jsonl instructions "$asked"

# At small scales questions that a small model can answer, else the benchmarks: which two sentences stand
# before this one, which question before this answer, whose answer is the likeliest. The latter two also as
# a tuned model is asked.
if [ "$per" != 0 ]; then
    step tasks/eval_topic.jsonl python3 "$here/../ratios/cloze.py" topic held-out/human.jsonl "$per"
    step tasks/eval_question.jsonl python3 "$here/../ratios/cloze.py" question held-out/human.jsonl "$words"
    step tasks/eval_writer.jsonl python3 "$here/../baskets/choices.py" held-out/writers.jsonl human "$words"
    for name in topic question writer asked answered; do step "$name.json" cat "$here/tasks/$name.json"; done
    knowledge=(--suite topic.json --suite question.json --suite writer.json --data tasks)
    following=(--suite asked.json --suite answered.json --data tasks)
else
    knowledge=(--suite "${kinds// /,}" --data "$data")
    following=(--suite "ifeval${judge:+,followbench,mt_bench}" --data "$data" --max-new-tokens "$new")
    [ -z "$judge" ] || following+=(--judge "$judge")
fi

# ---------------------------------------------------------------- models

tokens_of=()
if [ -n "$vocabulary" ]; then
    step texts/general.jsonl synth decontaminate all/general.jsonl "${clean[@]}"
    costs train "$parameters" 8K
    step tokenizer/ synth train texts/general.jsonl texts/human.jsonl texts/qa.jsonl --arch "$base" --train-tokenizer "$vocabulary" \
        --context 256 --tokens 8K --batch 32
    tokens_of=(--tokenizer tokenizer)
fi
valid=(--valid human=held-out/human.jsonl --valid qa=held-out/qa.jsonl)

# trained MODEL START TOKENS SOURCE…: START is an architecture (from scratch), or a model.
trained() {
    local from=(--from "$2")
    if [[ $2 == *.json ]]; then from=(--arch "$2" "${tokens_of[@]}"); fi
    costs train "$parameters" "$3"
    step "models/$1/$seed/" synth train "${@:4}" "${from[@]}" --tokens "$3" --epochs 100 --lr "$rate" --schedule cosine \
        "${common[@]}" "${valid[@]}"
}

# How often the words of the heading come in what a model writes, how long its sentences are, how diverse it is.
marks() {
    synth stats "$1" --text-field response --measures lengths,rates,self-bleu --tests none \
        --rate 'heading=(?i)\b(question|answer)s?:' --rate 'sentences=[.!?](\s|$)'
}
written() { # MODEL FILE
    costs write "$parameters" "$((asked * new))"
    step "writes/$2.jsonl" synth generate prompts.jsonl --model "$1" --max-new-tokens "$new" --temperature 1 --top-p 1 \
        --seed "$seed" --on-error skip
    step "marks/$2.json" marks "writes/$2.jsonl"
}

# What a model knows, expects and writes; the same once it is tuned on human instructions.
measured() { # MODEL
    local model=$1 from=$base
    [ "$model/$base_tokens" = base/0 ] || from=models/$model/$seed
    costs read "$parameters" "$((held * 5000))"
    step "knows/$model/$seed.json" synth eval "$from" "${knowledge[@]}" --suite perplexity "${valid[@]}" --bootstrap 0
    written "$from" "before/$model/$seed"
    costs train "$parameters" "$tune"
    step "tuned/$model/$seed/" synth train texts/chat.jsonl --sft --from "$from" --tokens "$tune" --epochs 100 \
        --lr "$tune_rate" --valid answers=held-out/people.jsonl "${common[@]}" --context "$((2 * context))" --batch "$((batch / 2))"
    costs write "$parameters" "$((held * 2000))"
    step "follows/$model/$seed.json" synth eval "tuned/$model/$seed" "${following[@]}" --bootstrap 0
    written "tuned/$model/$seed" "after/$model/$seed"
}

first=${methods%% *}
first=${first//[=,@]/_}
study() {
    local share method name weights start=$base
    local common=(--context "$context" --batch "$batch" --optimizer "$optimizer" --seed "$seed" --cache tokens)
    local models=(base plain mixed)

    # MixSynth and NonSynth: the same tokens, with and without synthetic answers.
    if [ "$base_tokens" != 0 ]; then
        trained base "$base" "$base_tokens" texts/general.jsonl
        start=models/base/$seed
    fi
    trained plain "$start" "$tokens" texts/human.jsonl
    name=mixed
    for share in $shares; do
        trained "$name" "$start" "$tokens" "texts/human.jsonl=$((100 - share))%" "texts/qa.jsonl=$share%"
        [ "$name" = mixed ] || models+=("$name")
        name=mixed_${shares##* }
    done
    for method in $methods; do
        name=${method//[=,@]/_}
        models+=("$name")
        local budget=$forget
        [[ $method == *@* ]] && budget=${method#*@}
        method=${method%@*}
        weights=()
        [[ $method == *=* ]] && weights=(--weights "${method#*=}")
        # Forgetting, replay, and the original model beside them.
        costs train "$parameters" "$(number "$budget")"
        step "models/$name/$seed/" synth unlearn --model "models/mixed/$seed" --forget texts/qa.jsonl --replay texts/human.jsonl \
            --method "${method%%=*}" "${weights[@]}" --tokens "$budget" --epochs 100 --lr "$forget_rate" --compare-tokens 4K "${common[@]}"
    done
    for name in "${models[@]}"; do
        step "floor/$name/$seed.json" cat "models/mixed/$seed/training/report.json"
        measured "$name"
    done

    # Where the distribution of held-out text went, and came back to.
    for name in human qa; do
        costs read "$parameters" "$((held * 3000))"
        step "shift/$name/$seed.json" synth ppl "held-out/$name.jsonl" --context "$context" --model "models/plain/$seed" \
            --model "models/mixed/$seed" --model "models/$first/$seed" --compare --bootstrap 0
    done

    # The two corpora: maps with the heading and without it, tokens that stand out.
    step "few/whole-$seed.jsonl" synth sample texts/human.jsonl -n "$few" --or-all --seed "$seed"
    step "few/human-$seed.jsonl" beginnings "few/whole-$seed.jsonl" text "$cut"
    step "few/qa-$seed.jsonl" synth sample texts/qa.jsonl -n "$few" --or-all --seed "$seed"
    step "few/answers-$seed.jsonl" synth sample texts/answers.jsonl -n "$few" --or-all --seed "$seed" --text-field response
    step "few/bare-$seed.jsonl" bare "few/answers-$seed.jsonl"
    for name in qa bare; do
        costs read "$parameters" "$((few * 500))"
        step "map/$name/$seed.json" synth embed "few/human-$seed.jsonl" "few/$name-$seed.jsonl" --model "$start" \
            --max-tokens 256 --map --method pca --seed "$seed"
    done
    step "frequencies/$seed.json" synth stats "few/human-$seed.jsonl" "few/qa-$seed.jsonl" --tokenizer "$start" \
        --measures lengths,tokens --tests none
}
each_seed study

# ---------------------------------------------------------------- tables

if [ "$per" = 0 ]; then asks=$kinds follows='instructions'; else asks='topic question' follows=asked; fi
takes=() later=() floors=() knows=''
for name in $asks; do
    if [ "$per" = 0 ]; then place=$name; else place="\"$name.json\""; floors+=(--floor "$name>0.25"); fi
    takes+=(--take "$name=suites.$place.figures.accuracy")
    knows+="${knows:+, }$name[model=CELL]"
done
if [ "$per" = 0 ]; then
    later+=(--take 'instructions=suites.ifeval.figures.instruction_strict')
    if [ -n "$judge" ]; then
        later+=(--take 'hsr=suites.followbench.figures.hsr' --take 'ssr=suites.followbench.figures.ssr' --take 'mt_bench=suites.mt_bench.figures.score')
        follows=hsr
    fi
else
    takes+=(--take 'people=suites."writer.json".figures.accuracy_norm')
    later+=(--take 'asked=suites."asked.json".figures.accuracy' --take 'people=suites."answered.json".figures.accuracy_norm')
fi
marked=(--take 'heading=groups[0].rates.heading.value' --take 'sentences=groups[0].rates.sentences.value'
    --take 'lexical=groups[0].lexical_diversity.pooled')
knowledge() { echo "mean(${knows//CELL/$1})"; } # accuracy of a model, over the kinds of questions
# claim TEXT MODEL… : EXPRESSION, where these models are there.
claims=()
names=" base plain mixed "
read -ra list <<< "$shares"
for share in "${list[@]:1}"; do names+="mixed_$share "; done
for method in $methods; do names+="${method//[=,@]/_} "; done
claim() {
    local text=$1 model
    shift
    while [ "$1" != : ]; do
        [[ $names == *" $1 "* ]] || return 0
        shift
    done
    claims+=(--claim "$text: $2")
}
last='' little=''
for name in $names; do
    case $name in refine_*) last=$name ;; mixed_*) little=$name ;; esac
done

claim 'The answers are learned (their perplexity falls)' : 'qa[model=mixed] < qa[model=plain]'
claim 'Synthetic answers leave a pattern in what the model writes (the heading)' : 'heading[model=mixed] > heading[model=plain]'
[ -z "$little" ] || claim "So do ${little#*_} % of them" : "heading[model=$little] > heading[model=plain]"
claim 'They raise accuracy on knowledge' : "$(knowledge mixed) > $(knowledge plain)"
claim 'They cost perplexity of human text' : 'human[model=mixed] > human[model=plain]'
claim 'Bounded forgetting takes the pattern out' : "heading[model=$first] < heading[model=mixed]"
claim 'It raises the perplexity of the answers' : "qa[model=$first] > qa[model=mixed]"
claim 'It keeps human text (within 2 %)' : "human[model=$first] < 1.02 * human[model=mixed]"
claim 'It keeps knowledge (within 2 points)' : "$(knowledge "$first") > $(knowledge mixed) - 0.02"
claim "At the paper's weight of 0.01 it takes the pattern out, too" bounded : 'heading[model=bounded] < heading[model=mixed]'
claim 'Forgetting adds to that weight (against as much replay alone)' bounded refine : 'heading[model=bounded] < heading[model=refine]'
claim 'Gradient ascent ruins the model (human text is harder than before all training on it)' ga : 'ruined[model=ga] > ruined[model=base]'
claim 'Gradient ascent costs human text more than bounded forgetting' ga : "ruined[model=ga] > ruined[model=$first]"
claim 'So it does with the same replay and KL' ga_1_1_1 : "ruined[model=ga_1_1_1] > ruined[model=$first]"
claim 'As much further training on human text takes out less' refine : "heading[model=$first] < heading[model=refine]"
if [ -n "$last" ]; then
    claim 'So does that of as many tokens as the first' : "heading[model=$first] < heading[model=$last]"
    claim 'That loses more knowledge than forgetting does' : "$(knowledge "$last") < $(knowledge "$first")"
fi
if [ "$per" != 0 ]; then
    claim "Synthetic answers make people's answers less often the likeliest" : 'people[model=mixed] < people[model=plain]'
    claim 'Bounded forgetting makes them so more often again' : "people[model=$first] > people[model=mixed]"
fi
gather models 'knows/{model}/{seed}.json' 'marks/before/{model}/{seed}.json' 'floor/{model}/{seed}.json' \
    --take 'human=suites.perplexity.domains[domain=human].perplexity' --take 'unigram=valid_unigram.human' \
    --take 'qa=suites.perplexity.domains[domain=qa].perplexity' --take 'qa_unigram=valid_unigram.qa' \
    --take 'ruined=suites.perplexity.domains[domain=human].perplexity' "${takes[@]}" "${marked[@]}"
table models --by model --over seed --floor human=unigram --floor qa=qa_unigram "${floors[@]}" \
    --columns "human,unigram,qa,qa_unigram,heading,${asks// /,}$([ "$per" = 0 ] || echo ,people)" "${claims[@]}"

claims=()
claim 'Tuned, the model that saw synthetic answers expects human answers less' : 'answers[model=mixed] > answers[model=plain]'
claim 'Its pattern outlives tuning on human instructions' : 'heading[model=mixed] > heading[model=plain]'
claim 'It follows instructions less' : "${follows}[model=mixed] < ${follows}[model=plain]"
claim 'It writes less diverse text' : 'lexical[model=mixed] < lexical[model=plain]'
claim 'Its sentences are longer, as those of synthetic answers are' : 'sentences[model=mixed] < sentences[model=plain]'
claim 'Tuned, the unlearned model expects human answers more than the one that saw synthetic answers' : "answers[model=$first] < answers[model=mixed]"
claim 'It follows instructions more' : "${follows}[model=$first] > ${follows}[model=mixed]"
claim 'It follows them more than the model that saw none' : "${follows}[model=$first] > ${follows}[model=plain]"
claim 'As much further training on human text mends less (human answers)' refine : "answers[model=$first] < answers[model=refine]"
[ -z "$last" ] || claim 'So does that of as many tokens as the first (human answers)' : "answers[model=$first] < answers[model=$last]"
[ -z "$last" ] || claim 'That mends something (human answers)' : "answers[model=$last] < answers[model=mixed]"
claim 'Tuning does not mend what gradient ascent ruined (human answers)' ga : "ruined[model=ga] > ruined[model=mixed]"
if [ "$per" != 0 ]; then
    claim "Tuned, the model that saw synthetic answers finds people's less often the likeliest" : 'people[model=mixed] < people[model=plain]'
    claim 'The unlearned one finds them so more often' : "people[model=$first] > people[model=mixed]"
fi
[ "$per" = 0 ] && floors=() || floors=(--floor 'asked>0.25')
gather tuned 'tuned/{model}/{seed}/training/report.json' 'follows/{model}/{seed}.json' 'marks/after/{model}/{seed}.json' \
    --take 'answers=valid.answers' --take 'unigram=valid_unigram.answers' --take 'ruined=valid.answers' "${later[@]}" "${marked[@]}"
table tuned --by model --over seed --floor answers=unigram "${floors[@]}" \
    --columns "answers,unigram,heading,sentences,lexical,$([ "$per" = 0 ] && echo "instructions${judge:+,hsr,ssr,mt_bench}" || echo asked,people)" "${claims[@]}"

gather shift 'shift/{text}/{seed}.json' --take 'shift=pairs[0].mean_shift' --take 'variance=pairs[0].variance_ratio' \
    --take 'shift_back=pairs[1].mean_shift' --take 'variance_back=pairs[1].variance_ratio'
table shift --by text --over seed \
    --claim 'Synthetic answers shift the perplexity of human text upwards: shift[text=human] > 0' \
    --claim 'They shift that of synthetic text downwards: shift[text=qa] < 0' \
    --claim 'They narrow its distribution: variance[text=qa] < 1' \
    --claim 'They narrow that of human text: variance[text=human] < 1' \
    --claim 'Unlearning shifts synthetic text back: shift_back[text=qa] > shift[text=qa]' \
    --claim 'It widens its distribution again: variance_back[text=qa] > variance[text=qa]'

gather corpora 'map/{text}/{seed}.json' --take 'neighbours=pairs[0].knn_accuracy.value' --take 'by_chance=pairs[0].knn_accuracy.expected' \
    --take 'alone=pairs[0].isolated_left.value'
table corpora --by text --over seed \
    --claim 'Synthetic answers under a heading and human text lie apart (nearest neighbours): neighbours[text=qa] > by_chance[text=qa]' \
    --claim 'So they do without the heading: neighbours[text=bare] > by_chance[text=bare]' \
    --claim 'The heading adds to that: neighbours[text=qa] > neighbours[text=bare]'
gather frequencies 'frequencies/{seed}.json' --take 'colon=over_represented_tokens[1].tokens[token=:].z' \
    --take 'question=over_represented_tokens[1].tokens[token=Question].z' --take 'answer=over_represented_tokens[1].tokens[token=Answer].z'
table frequencies --by '' --over seed \
    --claim 'The tokens of the heading stand out of synthetic text (z above 3): min(colon, question, answer) > 3'

figure models
figure tuned
# As the paper draws them, under the first seed.
keep() { only_tables || [ -n "$dry_run" ] || cp "$2" "rows/$1.json"; }
one=${seeds%% *}
keep map "map/qa/$one.json"
keep density "shift/qa/$one.json"
if [ -z "$dry_run" ]; then
    for name in map density; do synth plot "$rows/$name.json" -o "$(dirname "$readme")/$name.png" --force; done
fi
if [ -z "$dry_run" ] && ! only_tables; then
    synth plot "shift/human/$one.json" "shift/qa/$one.json" "map/qa/$one.json" "map/bare/$one.json" "frequencies/$one.json" \
        tables/*.json -o page.html --force
fi
finished
