# bash completion of synth: made by docs/generate_pages.py; do not edit

# Fields of the first input, as its first line shows them.
_synth_fields() {
    local file
    for file in "${COMP_WORDS[@]:2}"; do
        [[ -f $file ]] || continue
        case $file in
            *.csv | *.tsv) head -n 1 -- "$file" | tr -d '"\r' | tr ',;\t' '\n' ;;
            *.jsonl | *.ndjson | *.json)
                head -c 65536 -- "$file" | grep -oEm 1 '"[A-Za-z_][A-Za-z0-9_.-]*" *:' | tr -d '": '
                ;;
        esac
        return
    done
}

_synth() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local tool="" options="" operand=word value="" words="" i
    # --option=value comes as three words
    if [[ $cur == = ]]; then
        cur=""
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} != -* ]]; then
            tool=${COMP_WORDS[i]}
            break
        fi
    done
    case $tool in
        "")
            options="--version -h --help"
            words="edit ppl ngram-hash embed dsir mix sample dedup decontaminate classify origin stats compare train unlearn audit generate eval diff table fit cat simulate plot warm help"
            ;;
        edit)
            options="--threshold --below --drop-below --top-k --top-p --rejection --temperature --exclude-observed --generations --scores --shard --on-error --rejects -q --quiet --shape --text-field --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --plot --backend --server --answers-as --kv-cache --stride -m --model --revision --tokenizer --dtype --context --bos --devices --batch-tokens --api-key-file --requests --tokens-in-flight --requests-per-minute --tokens-per-minute --timeout --patience --seed --ray -j --jobs --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                --threshold | --below | --drop-below | --top-k | --top-p | --temperature | --generations | --shard | --encoding | --shard-size | --server | --answers-as | --kv-cache | --stride | --revision | --context | --devices | --batch-tokens | --requests | --tokens-in-flight | --requests-per-minute | --tokens-per-minute | --timeout | --patience | --seed | --ray | -j | --jobs) value=word ;;
                --rejection) value=word words="authors exact" ;;
                --scores | --rejects | -o | --output | --report | --plot | --api-key-file) value=file ;;
                --on-error) value=word words="fail skip" ;;
                --shape) value=word words="messages conversations instruction-output prompt-completion prompt-response question-answer" ;;
                --text-field) value=field ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
                --backend) value=word words="auto torch vllm server" ;;
                -m | --model | --tokenizer) value=dir words="builtin" ;;
                --dtype) value=word words="auto float32 bfloat16 float16" ;;
                --bos) value=word words="auto always never" ;;
            esac
            ;;
        ppl)
            options="--prompt-field --tokens --candidates --detector --observer --summary --compare --linear --bootstrap --epsilon --shard --on-error --rejects -q --quiet --shape --text-field --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --json --plot -m --model --backend --server --answers-as --kv-cache --stride --revision --tokenizer --dtype --context --bos --devices --batch-tokens --api-key-file --requests --tokens-in-flight --requests-per-minute --tokens-per-minute --timeout --patience --seed --ray -j --jobs --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                --prompt-field | --text-field) value=field ;;
                --candidates | --bootstrap | --epsilon | --shard | --encoding | --shard-size | --server | --answers-as | --kv-cache | --stride | --revision | --context | --devices | --batch-tokens | --requests | --tokens-in-flight | --requests-per-minute | --tokens-per-minute | --timeout | --patience | --seed | --ray | -j | --jobs) value=word ;;
                --observer | -m | --model | --tokenizer) value=dir words="builtin" ;;
                --on-error) value=word words="fail skip" ;;
                --rejects | -o | --output | --report | --plot | --api-key-file) value=file ;;
                --shape) value=word words="messages conversations instruction-output prompt-completion prompt-response question-answer" ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
                --backend) value=word words="auto torch vllm server" ;;
                --dtype) value=word words="auto float32 bfloat16 float16" ;;
                --bos) value=word words="auto always never" ;;
            esac
            ;;
        ngram-hash)
            options="--n --buckets --hash --top --exact --compare --duplicates --threshold --permutations --shingle --density --per-record --vector-field --vector-model --rows --width --shard --on-error --rejects -q --quiet --text-field --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --json --plot --seed --ray -j --jobs --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                --n | --buckets | --top | --threshold | --permutations | --shingle | --vector-model | --rows | --width | --shard | --encoding | --shard-size | --seed | --ray | -j | --jobs) value=word ;;
                --hash) value=word words="fast sha1 sha256" ;;
                --per-record) value=word words="minhash density" ;;
                --vector-field | --text-field) value=field ;;
                --on-error) value=word words="fail skip" ;;
                --rejects | -o | --output | --report | --plot) value=file ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
            esac
            ;;
        embed)
            options="--pooling --normalize --max-tokens --map --vector-field --limit --by --reference --method --neighbours --permutations --shard --on-error --rejects -q --quiet --shape --text-field --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --json --plot --seed -m --model --vector-model --stride --revision --tokenizer --dtype --context --bos --devices --batch-tokens --ray -j --jobs --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                --pooling) value=word words="mean last cls" ;;
                --max-tokens | --limit | --reference | --neighbours | --permutations | --shard | --encoding | --shard-size | --seed | --stride | --revision | --context | --devices | --batch-tokens | --ray | -j | --jobs) value=word ;;
                --vector-field | --by | --text-field) value=field ;;
                --method) value=word words="tsne umap pca" ;;
                --on-error) value=word words="fail skip" ;;
                --rejects | -o | --output | --report | --plot) value=file ;;
                --shape) value=word words="messages conversations instruction-output prompt-completion prompt-response question-answer" ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
                -m | --model | --vector-model | --tokenizer) value=dir words="builtin" ;;
                --dtype) value=word words="auto float32 bfloat16 float16" ;;
                --bos) value=word words="auto always never" ;;
            esac
            ;;
        dsir)
            options="--target -n --count --weights --top-k --n --buckets --hash --min-tokens --smoothing --fit-tokens --target-text-field --save-estimator --estimator --shard --on-error --rejects -q --quiet --shape --text-field --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --plot --seed --ray -j --jobs --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                --target | --save-estimator | --estimator | --rejects | -o | --output | --report | --plot) value=file ;;
                -n | --count | --n | --buckets | --min-tokens | --smoothing | --shard | --encoding | --shard-size | --seed | --ray | -j | --jobs) value=word ;;
                --hash) value=word words="fast sha256" ;;
                --fit-tokens) value=word words="all" ;;
                --target-text-field | --text-field) value=field ;;
                --on-error) value=word words="fail skip" ;;
                --shape) value=word words="messages conversations instruction-output prompt-completion prompt-response question-answer" ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
            esac
            ;;
        mix)
            options="--unit --tokenizer --cache --no-cache --tokens-field --total --epochs --shuffle --label --workflow --generation --dry-run --on-error --rejects -q --quiet --shape --text-field --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --json --plot --seed --ray -j --jobs --debug -h --help"
            operand=file
            case $prev in
                --unit) value=word words="tokens words bytes documents" ;;
                --tokenizer | --total | --epochs | --encoding | --shard-size | --seed | --ray | -j | --jobs) value=word ;;
                --tokens-field | --label | --text-field) value=field ;;
                --workflow) value=word words="replace accumulate accumulate-subsample" ;;
                --generation | --rejects | -o | --output | --report | --plot) value=file ;;
                --on-error) value=word words="fail skip" ;;
                --shape) value=word words="messages conversations instruction-output prompt-completion prompt-response question-answer" ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
            esac
            ;;
        sample)
            options="-n --count --by --scale --bias --inverse --with-replacement --stratify-by --allocation --or-all --rest --shard --on-error --rejects -q --quiet --text-field --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --plot --seed --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                -n | --count | --bias | --shard | --encoding | --shard-size | --seed) value=word ;;
                --by | --stratify-by | --text-field) value=field ;;
                --scale) value=word words="auto linear log origin" ;;
                --allocation) value=word words="proportional equal" ;;
                --rest | --rejects | -o | --output | --report | --plot) value=file ;;
                --on-error) value=word words="fail skip" ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
            esac
            ;;
        dedup)
            options="--exact --near --against --keep --mark --removed --index --unit --min-length --normalize --field --similarity --shingle --shingle-unit --permutations --hash --verify --shard --on-error --rejects -q --quiet --shape --text-field --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --plot --ray -j --jobs --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                --against | --removed | --rejects | -o | --output | --report | --plot) value=file ;;
                --keep) value=word words="first longest" ;;
                --index) value=dir ;;
                --unit) value=word words="record paragraph line" ;;
                --min-length | --similarity | --shingle | --permutations | --shard | --encoding | --shard-size | --ray | -j | --jobs) value=word ;;
                --field | --text-field) value=field ;;
                --shingle-unit) value=word words="words characters" ;;
                --hash) value=word words="fast sha1" ;;
                --on-error) value=word words="fail skip" ;;
                --shape) value=word words="messages conversations instruction-output prompt-completion prompt-response question-answer" ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
            esac
            ;;
        decontaminate)
            options="--benchmark --task-files --item-fields --ngram --min-score --min-run --remove --removed --shard --on-error --rejects -q --quiet --text-field --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --plot --ray -j --jobs --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                --benchmark | --removed | --rejects | -o | --output | --report | --plot) value=file ;;
                --task-files) value=dir ;;
                --item-fields | --text-field) value=field ;;
                --ngram | --min-score | --min-run | --shard | --encoding | --shard-size | --ray | -j | --jobs) value=word ;;
                --remove) value=word words="record passage nothing" ;;
                --on-error) value=word words="fail skip" ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
            esac
            ;;
        classify)
            options="--class --classifier --save --score-of --n --buckets --l2 --balance --held-out --most --shard --on-error --rejects -q --quiet --text-field --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --json --plot --ray -j --jobs --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                --class | --classifier | --save | --rejects | -o | --output | --report | --plot) value=file ;;
                --score-of | --n | --buckets | --l2 | --held-out | --most | --shard | --encoding | --shard-size | --ray | -j | --jobs) value=word ;;
                --on-error) value=word words="fail skip" ;;
                --text-field) value=field ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
            esac
            ;;
        origin)
            options="-m --model --human --synthetic --calibration --save --assume-human --by --per-record --tokens --limit --bootstrap --shard --on-error --rejects -q --quiet --shape --text-field --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --json --plot --seed --stride --revision --tokenizer --dtype --context --bos --devices --batch-tokens --ray -j --jobs --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                -m | --model | --tokenizer) value=dir words="builtin" ;;
                --human | --synthetic | --calibration | --save | --assume-human | --rejects | -o | --output | --report | --plot) value=file ;;
                --by | --text-field) value=field ;;
                --tokens | --limit | --bootstrap | --shard | --encoding | --shard-size | --seed | --stride | --revision | --context | --devices | --batch-tokens | --ray | -j | --jobs) value=word ;;
                --on-error) value=word words="fail skip" ;;
                --shape) value=word words="messages conversations instruction-output prompt-completion prompt-response question-answer" ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
                --dtype) value=word words="auto float32 bfloat16 float16" ;;
                --bos) value=word words="auto always never" ;;
            esac
            ;;
        stats)
            options="--by --measures --tests --rate --keywords --tokenizer --vector-field --vector-model --sample --pooled --vectors --words --match-words --shard --on-error --rejects -q --quiet --shape --text-field --input-format --encoding --split --report --json --plot --seed --ray -j --jobs --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                --by | --vector-field | --text-field) value=field ;;
                --measures) value=word words="lengths vocabulary heaps ngrams compression self-bleu openings tokens semantic rates keywords" ;;
                --tests) value=word words="words ttr mtld hdd entropy lexical_diversity all none" ;;
                --rate | --vector-model | --sample | --pooled | --vectors | --words | --shard | --encoding | --seed | --ray | -j | --jobs) value=word ;;
                --tokenizer) value=dir words="builtin" ;;
                --match-words) value=word words="min" ;;
                --on-error) value=word words="fail skip" ;;
                --rejects | --report | --plot) value=file ;;
                --shape) value=word words="messages conversations instruction-output prompt-completion prompt-response question-answer" ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
            esac
            ;;
        compare)
            options="-o --output --force --resume --reference --sample --max-tokens --vector-model --prompt-field --fail-if --shard --on-error --rejects -q --quiet --shape --text-field --input-format --encoding --split --report --json --plot --seed --backend --server --answers-as --kv-cache --stride -m --model --revision --tokenizer --dtype --context --bos --devices --batch-tokens --api-key-file --requests --tokens-in-flight --requests-per-minute --tokens-per-minute --timeout --patience -j --jobs --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                -o | --output | --reference | --rejects | --report | --plot | --api-key-file) value=file ;;
                --sample | --max-tokens | --fail-if | --shard | --encoding | --seed | --server | --answers-as | --kv-cache | --stride | --revision | --context | --devices | --batch-tokens | --requests | --tokens-in-flight | --requests-per-minute | --tokens-per-minute | --timeout | --patience | -j | --jobs) value=word ;;
                --vector-model | -m | --model | --tokenizer) value=dir words="builtin" ;;
                --prompt-field | --text-field) value=field ;;
                --on-error) value=word words="fail skip" ;;
                --shape) value=word words="messages conversations instruction-output prompt-completion prompt-response question-answer" ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --backend) value=word words="auto torch vllm server" ;;
                --dtype) value=word words="auto float32 bfloat16 float16" ;;
                --bos) value=word words="auto always never" ;;
            esac
            ;;
        train)
            options="--arch --from --revision --train-tokenizer --tokenizer --context --tokens --epochs --sft --shape --learn-all --pack --no-pack --stream --loss-weight --golden --dry-run --on-error --rejects -q --quiet --text-field --input-format --encoding --split --messages-field --prompt-field --response-field --batch --micro-batch --optimizer --lr --schedule --warmup --decay --lr-floor --weight-decay --beta2 --clip --skip-outliers --dtype --compile --activation-checkpointing --device --lora-rank --lora-alpha --lora-dropout --lora-targets --merge -o --output --save-dtype --checkpoint-every --keep --resume --force --cache --valid --valid-every --patience --tensorboard --wandb --report --json --plot --seed -j --jobs --debug -h --help"
            operand=file
            case $prev in
                --arch) value=file words="llama-tiny gpt2-tiny gpt-neox-tiny olmo-tiny qwen3-tiny llama-prior gpt2 gpt2-medium olmo-237m olmo-1b llama-2b pythia-70m pythia-160m pythia-410m pythia-1b pythia-1.4b pythia-2.8b pythia-6.9b pythia-12b" ;;
                --from | --tokenizer) value=dir words="builtin" ;;
                --revision | --train-tokenizer | --context | --tokens | --epochs | --loss-weight | --golden | --encoding | --batch | --micro-batch | --lr | --warmup | --decay | --lr-floor | --weight-decay | --beta2 | --clip | --skip-outliers | --lora-rank | --lora-alpha | --lora-dropout | --lora-targets | --checkpoint-every | --keep | --valid-every | --patience | --wandb | --seed | -j | --jobs) value=word ;;
                --shape) value=word words="messages conversations instruction-output prompt-completion prompt-response question-answer" ;;
                --on-error) value=word words="fail skip" ;;
                --rejects | --valid | --report | --plot) value=file ;;
                --text-field | --messages-field | --prompt-field | --response-field) value=field ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --optimizer) value=word words="adamw muon" ;;
                --schedule) value=word words="cosine wsd linear constant" ;;
                --dtype | --save-dtype) value=word words="float32 bfloat16" ;;
                --device) value=word words="auto cpu cuda" ;;
                -o | --output | --cache | --tensorboard) value=dir ;;
            esac
            ;;
        unlearn)
            options="--model --revision --forget --replay --tokens --epochs --forget-share --context --forget-context --sft --answers-only --until --max-replay-rise --norms-every --compare-tokens --method --weights --beta --margin --kl-direction --reference --layer --preferred-field --refusal --dry-run --on-error --rejects -q --quiet --text-field --input-format --encoding --split --messages-field --prompt-field --response-field --batch --micro-batch --optimizer --lr --schedule --warmup --decay --lr-floor --weight-decay --beta2 --clip --skip-outliers --dtype --compile --activation-checkpointing --device --lora-rank --lora-alpha --lora-dropout --lora-targets --merge -o --output --save-dtype --checkpoint-every --keep --resume --force --cache --valid --valid-every --patience --tensorboard --wandb --report --json --plot --seed -j --jobs --debug -h --help"
            case $prev in
                --model | --reference) value=dir words="builtin" ;;
                --revision | --tokens | --epochs | --forget-share | --context | --forget-context | --until | --max-replay-rise | --norms-every | --compare-tokens | --weights | --beta | --margin | --layer | --preferred-field | --refusal | --encoding | --batch | --micro-batch | --lr | --warmup | --decay | --lr-floor | --weight-decay | --beta2 | --clip | --skip-outliers | --lora-rank | --lora-alpha | --lora-dropout | --lora-targets | --checkpoint-every | --keep | --valid-every | --patience | --wandb | --seed | -j | --jobs) value=word ;;
                --forget | --replay | --rejects | --valid | --report | --plot) value=file ;;
                --method) value=word words="bounded ga graddiff kl npo simnpo dpo idkdpo wga undial rmu taskvector refine" ;;
                --kl-direction) value=word words="forward reverse" ;;
                --on-error) value=word words="fail skip" ;;
                --text-field | --messages-field | --prompt-field | --response-field) value=field ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --optimizer) value=word words="adamw muon" ;;
                --schedule) value=word words="cosine wsd linear constant" ;;
                --dtype | --save-dtype) value=word words="float32 bfloat16" ;;
                --device) value=word words="auto cpu cuda" ;;
                -o | --output | --cache | --tensorboard) value=dir ;;
            esac
            ;;
        audit)
            options="--forget --holdout --retain --neutral --paraphrases --base --retrained --chat-template -s --suite --data --limit --words --bits --relearn-texts --relearn-steps --relearn-lr --bootstrap --backend --server --answers-as --kv-cache --stride --revision --tokenizer --dtype --context --bos --devices --batch-tokens --api-key-file --requests --tokens-in-flight --requests-per-minute --tokens-per-minute --timeout --patience --on-error --rejects -q --quiet --text-field --input-format --encoding --split --messages-field --prompt-field --response-field --report --json --plot --seed -j --jobs --debug -h --help"
            operand=file
            case $prev in
                --forget | --holdout | --retain | --neutral | --paraphrases | --api-key-file | --rejects | --report | --plot) value=file ;;
                --base | --retrained | --tokenizer) value=dir words="builtin" ;;
                --chat-template | --bos) value=word words="auto always never" ;;
                -s | --suite) value=word words="perplexity self-preference ifeval followbench mt_bench danger-zone alpaca_eval arc_challenge arc_easy boolq ceval chemprot cmmlu fiqa_sa fpb gsm8k headline hellaswag humaneval mbpp medqa mmlu mqp openbookqa piqa pubmedqa rct social_iqa svamp truthfulqa winogrande" ;;
                --data) value=dir ;;
                --limit | --words | --bits | --relearn-texts | --relearn-steps | --relearn-lr | --bootstrap | --server | --answers-as | --kv-cache | --stride | --revision | --context | --devices | --batch-tokens | --requests | --tokens-in-flight | --requests-per-minute | --tokens-per-minute | --timeout | --patience | --encoding | --seed | -j | --jobs) value=word ;;
                --backend) value=word words="auto torch vllm server" ;;
                --dtype) value=word words="auto float32 bfloat16 float16" ;;
                --on-error) value=word words="fail skip" ;;
                --text-field | --messages-field | --prompt-field | --response-field) value=field ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
            esac
            ;;
        generate)
            options="--best-of --score --judge --judge-server --score-model --classifier --distinct --similarity --against --judge-tokens --judge-retries --judge-guided --validate --retries --dry-run --price-in --price-out --budget --batch-out --batch-in --style --passages --combinations --concept-field --continue --self-instruct --rationale --extrapolate-errors --answer-field --wrong-field --prompt-field --shape --template --context-field --system --plain -n --samples --temperature --top-p --top-k --max-new-tokens --stop --schema --regex --assign --stratify-by --response-field --model-field -m --model --context --bos --server --kv-cache --backend --answers-as --revision --tokenizer --dtype --devices --batch-tokens --api-key-file --requests --tokens-in-flight --requests-per-minute --tokens-per-minute --timeout --patience --cache --seed --shard --on-error --rejects -q --quiet --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --json --ray -j --jobs --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                --best-of | --score | --judge-server | --similarity | --judge-tokens | --judge-retries | --validate | --retries | --price-in | --price-out | --budget | --passages | --combinations | --continue | --self-instruct | -n | --samples | --temperature | --top-p | --top-k | --max-new-tokens | --stop | --regex | --context | --server | --kv-cache | --answers-as | --revision | --devices | --batch-tokens | --requests | --tokens-in-flight | --requests-per-minute | --tokens-per-minute | --timeout | --patience | --seed | --shard | --encoding | --shard-size | --ray | -j | --jobs) value=word ;;
                --judge | --score-model | -m | --model | --tokenizer) value=dir words="builtin" ;;
                --classifier | --against | --batch-out | --batch-in | --template | --system | --schema | --api-key-file | --rejects | -o | --output | --report) value=file ;;
                --distinct) value=word words="exact near" ;;
                --style) value=word words="wrap-easy wrap-medium wrap-hard wrap-qa beyondweb-qa beyondweb-teaching beyondweb-dense beyondweb-summary concepts synthllm-1 synthllm-2 synthllm-3" ;;
                --concept-field | --answer-field | --wrong-field | --prompt-field | --context-field | --stratify-by | --response-field | --model-field) value=field ;;
                --shape) value=word words="messages conversations instruction-output prompt-completion prompt-response question-answer" ;;
                --assign) value=word words="single stratified" ;;
                --bos) value=word words="auto always never" ;;
                --backend) value=word words="auto torch vllm server" ;;
                --dtype) value=word words="auto float32 bfloat16 float16" ;;
                --cache) value=dir ;;
                --on-error) value=word words="fail skip" ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
            esac
            ;;
        eval)
            options="-s --suite --list --data --valid --limit --shots --task-files --allow-code-execution --sandbox --samples --resume --shard --baseline --bootstrap --force --backend --server --answers-as --kv-cache --stride --revision --tokenizer --dtype --context --bos --devices --batch-tokens --api-key-file --requests --tokens-in-flight --requests-per-minute --tokens-per-minute --timeout --patience --max-new-tokens --temperature --top-p --judge --judge-server --show-prompts --judge-tokens --judge-retries --judge-guided --answers --pairs --judgments --reference --target --human --length-controlled --author-files --cache --on-error --rejects -q --quiet --input-format --encoding --split --report --json --plot --seed --ray -j --jobs --debug -h --help"
            operand=file
            case $prev in
                -s | --suite) value=word words="perplexity self-preference ifeval followbench mt_bench danger-zone alpaca_eval arc_challenge arc_easy boolq ceval chemprot cmmlu fiqa_sa fpb gsm8k headline hellaswag humaneval mbpp medqa mmlu mqp openbookqa piqa pubmedqa rct social_iqa svamp truthfulqa winogrande" ;;
                --data | --task-files | --author-files | --cache) value=dir ;;
                --valid | --samples | --api-key-file | --answers | --pairs | --judgments | --reference | --rejects | --report | --plot) value=file ;;
                --limit | --shots | --shard | --baseline | --bootstrap | --server | --answers-as | --kv-cache | --stride | --revision | --context | --devices | --batch-tokens | --requests | --tokens-in-flight | --requests-per-minute | --tokens-per-minute | --timeout | --patience | --max-new-tokens | --temperature | --top-p | --judge-server | --judge-tokens | --judge-retries | --target | --human | --encoding | --seed | --ray | -j | --jobs) value=word ;;
                --sandbox) value=word words="auto bubblewrap landlock none" ;;
                --backend) value=word words="auto torch vllm server" ;;
                --tokenizer | --judge) value=dir words="builtin" ;;
                --dtype) value=word words="auto float32 bfloat16 float16" ;;
                --bos) value=word words="auto always never" ;;
                --on-error) value=word words="fail skip" ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
            esac
            ;;
        diff)
            options="--samples --figure --budget --shares --parameters --generations --bootstrap --all --seed --input-format --encoding --split --plot --report --json --debug -h --help"
            operand=file
            case $prev in
                --samples | --figure | --plot | --report) value=file ;;
                --shares | --parameters | --bootstrap | --seed | --encoding) value=word ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
            esac
            ;;
        table)
            options="--take --by --over --claim --floor --untested --columns --pivot --rows --markdown --section --force --input-format --encoding --split --plot --report --json --debug -h --help"
            operand=file
            case $prev in
                --take | --rows | --markdown | --plot | --report) value=file ;;
                --by | --over | --pivot) value=field ;;
                --claim | --floor | --untested | --columns | --section | --encoding) value=word ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
            esac
            ;;
        fit)
            options="--law --x --y --fix --held-out --flops --unique --at --delta --bootstrap --shard --on-error --rejects -q --quiet --input-format --encoding --split --seed --plot --report --json --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                --law) value=word words="chinchilla kaplan power rectified repeat golden mixing quadratic regmix" ;;
                --x | --y | --at) value=field ;;
                --fix | --held-out | --flops | --unique | --delta | --bootstrap | --shard | --encoding | --seed) value=word ;;
                --on-error) value=word words="fail skip" ;;
                --rejects | --plot | --report) value=file ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
            esac
            ;;
        cat)
            options="--count -n --head --where --text --set --shape --select --shard --on-error --rejects -q --quiet --text-field --input-format --encoding --split -o --output --format --nan --force --resume --shard-size --report --debug -h --help"
            operand=file words="builtin:topics builtin:sample"
            case $prev in
                -n | --head | --where | --text | --shard | --encoding | --shard-size) value=word ;;
                --set | --select | --text-field) value=field ;;
                --shape) value=word words="messages conversations instruction-output prompt-completion prompt-response question-answer" ;;
                --on-error) value=word words="fail skip" ;;
                --rejects | -o | --output | --report) value=file ;;
                --input-format) value=word words="jsonl json csv tsv text" ;;
                --split) value=word words="lines paragraphs" ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow csv tsv" ;;
                --nan) value=word words="keep null fail" ;;
            esac
            ;;
        simulate)
            options="--model --bandwidth -T --samples -d --features --noise --generations --repetitions --workflow --edit-share --edit-decay --masks --seed --plot --report --json -j --jobs --debug -h --help"
            case $prev in
                --model) value=word words="linear gaussian kde" ;;
                --bandwidth | -T | --samples | -d | --features | --noise | --generations | --repetitions | --edit-share | --edit-decay | --seed | -j | --jobs) value=word ;;
                --workflow) value=word words="replace accumulate accumulate-subsample edit" ;;
                --masks) value=word words="disjoint nested random" ;;
                --plot | --report) value=file ;;
            esac
            ;;
        plot)
            options="-o --output --data --shares --force --debug -h --help"
            operand=file
            case $prev in
                -o | --output | --data) value=file ;;
                --shares) value=word ;;
            esac
            ;;
        warm)
            options="--debug -h --help"
            operand=file
            ;;
        help)
            options="--json --debug -h --help"
            operand=word words="edit ppl ngram-hash embed dsir mix sample dedup decontaminate classify origin stats compare train unlearn audit generate eval diff table fit cat simulate plot warm help"
            ;;
    esac
    if [[ -z $value && $cur == -* ]]; then
        value=word words=$options
    fi
    case ${value:-$operand} in
        file) # readline completes file names
            [[ -n $value || -n $cur && builtin: == "$cur"* ]] || words=""
            ;;
        field) words=$(_synth_fields) ;;
        dir) compopt +o default -o plusdirs 2>/dev/null ;;
        word) compopt +o default 2>/dev/null ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}

complete -o default -F _synth synth
