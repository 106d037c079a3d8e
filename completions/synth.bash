# bash completion of synth: made by docs/generate_pages.py; do not edit

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
            words="edit ppl ngram-hash dsir mix sample stats train cat"
            ;;
        edit)
            options="--on-error --rejects -q --quiet --shard --text-field -o --output --format --force --resume --shard-size --report --seed -m --model --revision --tokenizer --backend --server --dtype --context --stride --bos --devices --batch-tokens --kv-cache -j --jobs --threshold --below --drop-below --top-k --top-p --rejection --temperature --exclude-observed --generations --scores --debug -h --help"
            operand=file
            case $prev in
                --on-error) value=word words="fail skip" ;;
                --rejects | -o | --output | --report | --scores) value=file ;;
                --shard | --text-field | --shard-size | --seed | --revision | --server | --context | --stride | --devices | --batch-tokens | --kv-cache | -j | --jobs | --threshold | --below | --drop-below | --top-k | --top-p | --temperature | --generations) value=word ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow" ;;
                -m | --model | --tokenizer) value=dir words="builtin" ;;
                --backend) value=word words="auto torch vllm server" ;;
                --dtype) value=word words="auto float32 bfloat16 float16" ;;
                --bos) value=word words="auto always never" ;;
            esac
            ;;
        ppl)
            options="--on-error --rejects -q --quiet --shard --text-field -o --output --format --force --resume --shard-size --report -m --model --revision --tokenizer --backend --server --dtype --context --stride --bos --devices --batch-tokens --kv-cache -j --jobs --prompt-field --tokens --candidates --summary --json --debug -h --help"
            operand=file
            case $prev in
                --on-error) value=word words="fail skip" ;;
                --rejects | -o | --output | --report) value=file ;;
                --shard | --text-field | --shard-size | --revision | --server | --context | --stride | --devices | --batch-tokens | --kv-cache | -j | --jobs | --prompt-field | --candidates) value=word ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow" ;;
                -m | --model | --tokenizer) value=dir words="builtin" ;;
                --backend) value=word words="auto torch vllm server" ;;
                --dtype) value=word words="auto float32 bfloat16 float16" ;;
                --bos) value=word words="auto always never" ;;
            esac
            ;;
        ngram-hash)
            options="--on-error --rejects -q --quiet --shard --text-field -o --output --format --force --resume --shard-size --report --seed -j --jobs --n --buckets --hash --top --exact --compare --duplicates --threshold --permutations --shingle --density --per-record --vector-field --vector-model --rows --width --plot --json --debug -h --help"
            operand=file
            case $prev in
                --on-error) value=word words="fail skip" ;;
                --rejects | -o | --output | --report | --plot) value=file ;;
                --shard | --text-field | --shard-size | --seed | -j | --jobs | --n | --buckets | --top | --threshold | --permutations | --shingle | --vector-field | --vector-model | --rows | --width) value=word ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow" ;;
                --hash) value=word words="fast sha256" ;;
                --per-record) value=word words="minhash density" ;;
            esac
            ;;
        dsir)
            options="--on-error --rejects -q --quiet --shard --text-field -o --output --format --force --resume --shard-size --report --seed -j --jobs --target -n --count --weights --top-k --n --buckets --hash --min-tokens --smoothing --fit-tokens --target-text-field --save-estimator --estimator --debug -h --help"
            operand=file
            case $prev in
                --on-error) value=word words="fail skip" ;;
                --rejects | -o | --output | --report | --target | --save-estimator | --estimator) value=file ;;
                --shard | --text-field | --shard-size | --seed | -j | --jobs | -n | --count | --n | --buckets | --min-tokens | --smoothing | --target-text-field) value=word ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow" ;;
                --hash) value=word words="fast sha256" ;;
                --fit-tokens) value=word words="all" ;;
            esac
            ;;
        mix)
            options="--on-error --rejects -q --quiet --text-field -o --output --format --force --resume --shard-size --report --seed -j --jobs --unit --tokenizer --tokens-field --total --epochs --shuffle --label --workflow --generation --dry-run --json --debug -h --help"
            operand=file
            case $prev in
                --on-error) value=word words="fail skip" ;;
                --rejects | -o | --output | --report | --generation) value=file ;;
                --text-field | --shard-size | --seed | -j | --jobs | --tokenizer | --tokens-field | --total | --epochs | --label) value=word ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow" ;;
                --unit) value=word words="tokens words bytes documents" ;;
                --workflow) value=word words="replace accumulate accumulate-subsample" ;;
            esac
            ;;
        sample)
            options="--on-error --rejects -q --quiet --shard --text-field -o --output --format --force --resume --shard-size --report --seed -n --count --by --scale --inverse --with-replacement --stratify-by --allocation --debug -h --help"
            operand=file
            case $prev in
                --on-error) value=word words="fail skip" ;;
                --rejects | -o | --output | --report) value=file ;;
                --shard | --text-field | --shard-size | --seed | -n | --count | --by | --stratify-by) value=word ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow" ;;
                --scale) value=word words="auto linear log" ;;
                --allocation) value=word words="proportional equal" ;;
            esac
            ;;
        stats)
            options="--on-error --rejects -q --quiet --shard --text-field --seed -j --jobs --by --measures --tests --tokenizer --vector-field --vector-model --sample --pooled --vectors --words --plot --report --json --debug -h --help"
            operand=file
            case $prev in
                --on-error) value=word words="fail skip" ;;
                --rejects | --plot | --report) value=file ;;
                --shard | --text-field | --seed | -j | --jobs | --by | --measures | --tests | --vector-field | --vector-model | --sample | --pooled | --vectors | --words) value=word ;;
                --tokenizer) value=dir words="builtin" ;;
            esac
            ;;
        train)
            options="--on-error --rejects -q --quiet --shard --text-field --seed -j --jobs -o --output --arch --train-tokenizer --tokenizer --context --tokens --epochs --batch --micro-batch --lr --schedule --warmup --decay --weight-decay --clip --dtype --save-dtype --compile --checkpoint-every --device --resume --force --json --debug -h --help"
            operand=file
            case $prev in
                --on-error) value=word words="fail skip" ;;
                --rejects) value=file ;;
                --shard | --text-field | --seed | -j | --jobs | --train-tokenizer | --context | --tokens | --epochs | --batch | --micro-batch | --lr | --warmup | --decay | --weight-decay | --clip | --checkpoint-every) value=word ;;
                -o | --output) value=dir ;;
                --arch) value=word words="llama-tiny gpt2-tiny gpt-neox-tiny llama-prior" ;;
                --tokenizer) value=dir words="builtin" ;;
                --schedule) value=word words="cosine wsd linear constant" ;;
                --dtype | --save-dtype) value=word words="float32 bfloat16" ;;
                --device) value=word words="auto cpu cuda" ;;
            esac
            ;;
        cat)
            options="--on-error --rejects -q --quiet --shard -o --output --format --force --resume --shard-size --report --count -n --head --select --debug -h --help"
            operand=file
            case $prev in
                --on-error) value=word words="fail skip" ;;
                --rejects | -o | --output | --report) value=file ;;
                --shard | --shard-size | -n | --head | --select) value=word ;;
                --format) value=word words="jsonl jsonl.gz jsonl.zst parquet arrow" ;;
            esac
            ;;
    esac
    if [[ -z $value && $cur == -* ]]; then
        value=word words=$options
    fi
    case ${value:-$operand} in
        file) ;; # readline completes file names
        dir) compopt +o default -o plusdirs 2>/dev/null ;;
        word) compopt +o default 2>/dev/null ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}

complete -o default -F _synth synth
