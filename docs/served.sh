#!/usr/bin/env bash
# Synthetic data from a model on a server that dies, and what training on them changes; served.md says what came of it.
#
#     docs/served.sh DATA [WORK]
#
# DATA holds eval_arc_easy/ and eval_alpaca_eval_prompts/ (records as `synth eval` reads them). VLLM names the Python whose
# vLLM serves (of `make test-vllm`: .venv-vllm/bin/python), PORT and the next one are the servers'. Beside synth: jq, curl.
set -euo pipefail

data=$(realpath "$1")
work=${2:-served}
vllm=${VLLM:-$(cd "$(dirname "$0")/.." && pwd)/.venv-vllm/bin/python}
port=${PORT:-8321}
documents=${DOCUMENTS:-125} # of which each style makes one rephrasing
questions=${QUESTIONS:-100} # of arc_easy, and held-out paragraphs
prompts=${PROMPTS:-16}      # of AlpacaEval
epochs=${EPOCHS:-0.5}       # of training on them
price_in=${PRICE_IN:-0.15} price_out=${PRICE_OUT:-0.60} # of a million tokens, as if a provider served
requests=$((documents / 4 < 32 ? documents / 4 : 32)) # in flight: what is killed is not yet all answered
styles=(easy medium hard qa)
mkdir "$work" "$work"/rephrased "$work"/at-kills
cd "$work"

# ---------------------------------------------------------------- servers

declare -A servers=()

# serve NAME MODEL PORT: a server in a group of its own; returns once it answers.
serve() {
    VLLM_CPU_KVCACHE_SPACE=1 HF_HUB_OFFLINE=1 setsid "$vllm" -m vllm.entrypoints.openai.api_server \
        --model "$2" --served-model-name "$1" --host 127.0.0.1 --port "$3" --max-model-len 2048 --dtype bfloat16 --enforce-eager \
        --no-enable-chunked-prefill \
        >> "server-$1.log" 2>&1 &
    servers[$1]=$!
    until curl -sf "http://127.0.0.1:$3/v1/models" > /dev/null; do
        kill -0 "${servers[$1]}" || { tail "server-$1.log" >&2; exit 1; }
        sleep 1
    done
}

# count_tokens PORT: adds what a server says that it has read and written.
count_tokens() {
    curl -s "http://127.0.0.1:$1/metrics" |
        awk '/^vllm:(request_success|prompt_tokens|generation_tokens)_total/ { sub(/\{.*/, "", $1); s[$1] += $NF }
            END { for (name in s) print name, s[name] }' >> server-counts.txt
}

# dies NAME PORT: with all it was at.
dies() {
    count_tokens "$2"
    kill -9 -- "-${servers[$1]}"
    wait "${servers[$1]}" 2> /dev/null || true
    unset "servers[$1]"
}

trap 'for pid in "${servers[@]}"; do kill -9 -- "-$pid"; done 2> /dev/null || true' EXIT

# ---------------------------------------------------------------- steps

done_at=0
step() { # what was done since the last one
    printf '| %s | %d | %s |\n' "$1" "$((SECONDS - done_at))" "$2" | tee -a table.md
    done_at=$SECONDS
}

# ask STYLE OPTION…: in the background.
ask() {
    synth generate documents.jsonl --style "wrap-$1" --model smollm2 --server "http://127.0.0.1:$port" --requests "$requests" \
        --max-new-tokens 32 --seed 1 --price-in "$price_in" --price-out "$price_out" --validate characters=20.. \
        -o "rephrased/$1.jsonl" --report "rephrased-$1.json" --on-error skip --rejects "rejects-$1.jsonl" \
        "${@:2}" 2>> generate.log &
    run=$!
}

kept() {
    local answers
    answers=$(grep -sc '^{"key"' "rephrased/.$1.jsonl.answers.jsonl") || true
    echo "${answers:-0}"
}

# reaches STYLE ANSWERS: waits until so many are kept beside the output.
reaches() {
    until [ "$(kept "$1")" -ge "$2" ]; do
        kill -0 "$run" || { tail -n 3 generate.log >&2; exit 1; }
        sleep 0.2
    done
}

# remember STYLE: what is kept at this moment.
remember() { cp "rephrased/.$1.jsonl.answers.jsonl" "at-kills/$1-$SECONDS.jsonl"; }

ends() { # CODE: the run in the background ends with it
    local code=0
    wait "$run" || code=$?
    [ "$code" = "$1" ] || { tail -n 3 generate.log >&2; exit 1; }
}

evaluate() { # NAME PORT
    synth eval "$1" --server "http://127.0.0.1:$2" --tokenizer smollm2 --requests "$requests" --suite arc_easy --data "$data" \
        --limit "$questions" --valid docs=held.jsonl --samples "samples-$1.jsonl" --report "eval-$1.json" \
        --quiet > /dev/null
}

respond() { # NAME PORT
    synth generate prompts.jsonl --model "$1" --server "http://127.0.0.1:$2" --max-new-tokens 48 --temperature 0 \
        -o "answers-$1.jsonl" --quiet
}

# ---------------------------------------------------------------- documents and the first server

printf '| step | seconds | what came |\n|---|---:|---|\n' > table.md
synth cat builtin:topics --quiet | jq -r .text > topics.txt
synth cat topics.txt --split paragraphs --quiet | jq -c 'select(.text | length >= 120 and length <= 250)' > paragraphs.jsonl
head -n "$documents" paragraphs.jsonl > documents.jsonl
tail -n "$questions" paragraphs.jsonl > held.jsonl
synth cat "$data"/eval_alpaca_eval_prompts --quiet | head -n "$prompts" > prompts.jsonl

smollm2=$(python -c 'from synthtools.lm.model_name import ModelName; print(ModelName("smollm2").location)')
serve smollm2 "$smollm2" "$port"
step "server starts" "smollm2, vLLM on the CPU"

# ---------------------------------------------------------------- 500 rephrasings

ask easy
for answers in $((documents / 4)) $((documents / 2)); do
    reaches easy "$answers"
    remember easy
    kill -9 "$run"
    ends 137
    ask easy --resume
done
ends 0
step "easy: killed (SIGKILL) at a quarter and at half of the answers" "resumed twice"

ask medium --budget tokens=$((40 * documents))
ends 1
grep 'the budget' generate.log | tail -n 1 > budget.txt
remember medium
stopped=$(kept medium)
ask medium --budget tokens=$((400 * documents)) --resume
ends 0
step "medium: --budget tokens=$((40 * documents))" "stopped at $stopped answers; a larger budget resumed it"

ask hard --patience 900
reaches hard $((documents / 3))
remember hard
dies smollm2 "$port"
serve smollm2 "$smollm2" "$port"
ends 0
step "hard: the server killed at a third of the answers and started again" "the run waited and went on"

ask qa --patience 3
reaches qa $((documents / 3))
dies smollm2 "$port"
ends 1
tail -n 1 generate.log > gave-up.txt
remember qa
serve smollm2 "$smollm2" "$port"
ask qa --resume
ends 0
step "qa: the server killed at a third of the answers, given up after 3 s" "started again, then --resume"

cat at-kills/*.jsonl | jq -Rc 'fromjson? | .text // empty' | sort -u > texts-at-kills.txt
cat rephrased/*.jsonl | jq -c .response | sort -u > texts.txt
# A refused answer, too, was asked once: it was drawn again under another seed.
lost=$(comm -23 texts-at-kills.txt texts.txt | jq -c 'select(length >= 20)' | wc -l)
records=$(cat rephrased/*.jsonl | wc -l)
rejected=$(cat rejects-*.jsonl 2> /dev/null | wc -l)
again=$(jq -s '[.[].validation[].retried] | add' rephrased-*.json)
tokens=$(jq -s '"\([.[].prompt_tokens] | add) + \([.[].tokens] | add)"' -r rephrased-*.json)
cost=$(jq -s '[.[].cost] | add * 1e4 | round / 1e4' rephrased-*.json)
step "$((${#styles[@]} * documents)) rephrasings" "$records records, $rejected prompts without an answer, $again answers \
drawn again; $tokens tokens of prompts and answers, $cost at $price_in and $price_out a million; $(wc -l < texts-at-kills.txt) answers kept at kills, $lost of them lost"

# ---------------------------------------------------------------- dedup, before

cat rephrased/*.jsonl > rephrased.jsonl
synth dedup rephrased.jsonl --text-field response --near --report dedup.json -o clean.jsonl --force --quiet
step "dedup --near" "$(wc -l < clean.jsonl) left"

evaluate smollm2 "$port"
respond smollm2 "$port"
step "eval and answers before" "$questions questions, $questions paragraphs, $prompts answers"

# ---------------------------------------------------------------- SFT, after

synth train clean.jsonl --sft --prompt-field text --response-field response --from smollm2 --lora-rank 8 --merge \
    --context 256 --epochs "$epochs" --batch 4 --lr 2e-4 --dtype bfloat16 -o tuned/ --quiet --report train.json > /dev/null
step "train --sft --lora-rank 8 --epochs $epochs" "$(jq -r '"\(.steps) steps, \(.tokens) tokens of answers"' train.json)"

serve tuned "$PWD/tuned" "$((port + 1))"
step "second server starts" "the tuned model"
evaluate tuned "$((port + 1))"
respond tuned "$((port + 1))"
step "eval and answers after" "the same items"

judge() { # REPORT OPTION…: by the first server's model, and by whom the options add
    synth eval --suite alpaca_eval --data "$data" --limit "$prompts" --answers answers-tuned.jsonl \
        --reference answers-smollm2.jsonl --judge smollm2 --judge-server "http://127.0.0.1:$port" "${@:2}" \
        --judge-retries 0 --requests 8 --report "$1" --quiet > /dev/null
}
verdicts='[.suites.alpaca_eval.judge | (.judges // [.])[]
    | "\(.model): \(.questions - .unreadable - .failed) of \(.questions) replies have a verdict"] | join("; ")'

judge judged.json --judge-tokens 64
step "alpaca_eval, judged by smollm2" "$(jq -r "$verdicts" judged.json)"
judge panel.json --judge tuned --judge-server "http://127.0.0.1:$((port + 1))" --judge-guided
step "alpaca_eval, a panel of both, --judge-guided" "$(jq -r "$verdicts" panel.json)"

synth diff eval-smollm2.json eval-tuned.json --json > diff.json
step "diff" "$(jq '.paired | length' diff.json) figures with intervals"

count_tokens "$port"
count_tokens "$((port + 1))"
step "all servers" "$(awk '{ s[$1] += $2 } END { printf "%d requests answered, %d + %d tokens of prompts and answers, with what the kills lost",
    s["vllm:request_success_total"], s["vllm:prompt_tokens_total"], s["vllm:generation_tokens_total"] }' server-counts.txt)"
printf '| in all | %d | |\n\n' "$SECONDS" | tee -a table.md
jq -r '.paired[].sentence' diff.json
