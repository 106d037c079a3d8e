# shellcheck shell=bash
# What the studies share: options, steps that are done once, seeds side by side, and the plan of what it
# all costs. Sourced by the scripts beside it; bash 4.4 or newer.
#
#   step OUT COMMAND…    COMMAND's standard output becomes OUT
#   step DIR/ COMMAND…   COMMAND is given `--resume -o DIR`, and makes the directory
#
# A step is done again when its command changed, or a step or file that its words name: `mix25` depends
# on the step `mix25`, `--valid held=held.jsonl` on the file, `human.jsonl=75%` on that one. What was
# begun of the same step is gone on with. Each step's log, and the key by which it is known, is in
# WORK/.steps.

# ---------------------------------------------------------------- options

scale=toy data='' work='' seeds='' jobs='' rows='' readme='' dry_run=''
declare -A given=()

usage() {
    sed -n '2,/^set -euo/{/^#/{s/^# \{0,1\}//;p}}' "$0"
    cat << 'END'

Options of every study:
  --scale toy|small|paper
                     Models, data and budgets: to try the script (minutes; no verdicts), to judge the
                     claims (a night on two cores), or the paper's (default toy).
  --data DIR         Corpora as in the README; without it, inputs are made from Python's own
                     documentation and the built-in model.
  --work DIR         Where models and reports go; run again, the study goes on (default ./STUDY-SCALE).
  --seeds LIST       Repetitions ("0 1 2").
  --jobs N           Seeds at once (default: the cores, at most the seeds); OMP_NUM_THREADS is each
                     one's part of the cores.
  --set NAME=VALUE   One setting of the scale, as --dry-run lists them; repeatable.
  --dry-run          List the settings and the steps, what is done, and what the rest costs.
  --rows DIR         Only make the tables, from rows that an earlier run wrote there, of its scale; with
                     --readme nothing else is kept, unless --work names a directory.
  --readme FILE      Write the tables into this file, between its markers (default WORK/README.md).
END
}

stop() {
    printf '%s: %s\n' "$study" "$*" >&2
    exit 2
}

# Reads the options; $1: the directory of the script.
options() {
    here=$1
    study=$(basename "$here")
    shift
    local words=("$@")
    while [ $# -gt 0 ]; do
        case $1 in
            -h | --help)
                usage
                exit 0
                ;;
            --dry-run)
                dry_run=1
                shift
                continue
                ;;
        esac
        [ $# -gt 1 ] || stop "$1 needs a value, or is no option (--help lists them)"
        case $1 in
            --scale) scale=$2 ;;
            --data) data=$(realpath -e "$2" 2> /dev/null) || stop "--data $2: no such directory" ;;
            --work) work=$2 ;;
            --seeds) seeds=$2 ;;
            --jobs) jobs=$2 ;;
            --set)
                [[ $2 == *=* ]] || stop "--set $2: is not NAME=VALUE"
                given[${2%%=*}]=${2#*=}
                ;;
            --rows) rows=$(realpath -e "$2" 2> /dev/null) || stop "--rows $2: no such directory" ;;
            --readme) readme=$(realpath -e "$2" 2> /dev/null) || stop "--readme $2: no such file" ;;
            *) stop "no option $1 (--help lists them)" ;;
        esac
        shift 2
    done
    [ -z "$rows" ] || scale=$(cat "$rows/scale") || stop "--rows $rows: holds no rows of a study (no file scale)"
    case $scale in toy | small | paper) ;; *) stop "--scale is toy, small or paper, not $scale" ;; esac
    seeds=${seeds:-0 1 2}
    local list
    read -ra list <<< "$seeds"
    [ -n "$jobs" ] || jobs=$(nproc)
    [ "$jobs" -le ${#list[@]} ] || jobs=${#list[@]}
    local threads=$(($(nproc) / jobs))
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}
    # Hundreds of starts: they are quick under `synth warm`, which runs this script again.
    if [ -z "${STUDY_IS_WARM:-}$dry_run$rows" ] && [ "$(uname)" = Linux ]; then
        STUDY_IS_WARM=1 exec synth warm bash "$0" ${words[@]+"${words[@]}"}
    fi
    # Of tables for a given file nothing else is read later.
    if [ -z "$work" ] && [ -n "$rows" ] && [ -n "$readme" ]; then
        work=$(mktemp -d)
        trap 'ended; rm -rf -- "$work"' EXIT
    fi
    work=${work:-$study-$scale}
    mkdir -p "$work/.steps" "$work/rows"
    cd "$work" || exit 2
    work=$PWD
    if [ -n "$rows" ]; then
        dry_run=''
    else
        rows=rows
        [ -n "$dry_run" ] || echo "$scale" > rows/scale
    fi
    if [ -z "$readme" ]; then
        readme=$work/README.md
        cp "$here/README.md" "$readme"
    fi
    [ -z "$dry_run" ] || printf '%s, scale %s, seeds %s, in %s\n\n' "$study" "$scale" "$seeds" "$work"
}

# setting NAME TOY SMALL PAPER: a variable, by the scale or by --set.
setting() {
    local -n variable=$1
    # shellcheck disable=SC2034  # a reference: the script reads it by its own name
    case $scale in toy) variable=$2 ;; small) variable=$3 ;; paper) variable=$4 ;; esac
    [ -z "${given[$1]+there}" ] || variable=${given[$1]}
    unset "given[$1]"
    [ -z "$dry_run" ] || printf '  %-14s %s\n' "$1" "$variable"
}

# paper_data TEXT…: which corpora the paper's scale asks of DIR, under which names.
paper_data() {
    if [ -n "$dry_run" ] && [ "$scale" = paper ]; then printf '  %-14s %s\n' --data "$*"; fi
}

# After the last setting.
settled() {
    local unknown=("${!given[@]}")
    [ ${#unknown[@]} = 0 ] || stop "no setting ${unknown[0]} (--dry-run lists them)"
    [ -z "$dry_run" ] || echo
}

# ---------------------------------------------------------------- steps

only_tables() { [ "$rows" != rows ]; }

hashed() { sha256sum | cut -c -32; }

# What a word of a command names: steps by their keys, other files by size and time.
named() {
    local piece place
    for piece in ${1//[=,:]/ }; do
        place=${piece%/}
        while [ -n "$place" ] && [ "$place" != . ]; do
            if [ -n "${planned[$place]+there}" ]; then
                echo "$place is made anew"
                continue 2
            elif [ -e ".steps/${place//\//+}.key" ]; then
                cat ".steps/${place//\//+}.key"
                continue 2
            elif [ "$place" = "${place%/*}" ]; then
                break
            fi
            place=${place%/*}
        done
        if [ -f "$piece" ]; then
            stat -c '%n %s %Y' -- "$piece"
        elif [ -d "$piece" ]; then
            for place in "${!planned[@]}"; do [[ $place != "$piece"/* ]] || echo "$place is made anew"; done
            find -L "$piece" -type f -printf '%p %s %T@\n' | sort
        fi
    done
}

# What a command makes beside its output.
beside() {
    local word before=''
    for word; do
        case $before in --rest | --report) echo "$word" ;; esac
        before=$word
    done
}

key_of() {
    local word before=''
    set -f
    {
        printf '%s\n' "$1"
        for word in "${@:2}"; do
            printf '%s\n' "$word"
            # What is made is not depended on, nor is what is only kept from one step to the next.
            case $before in --rest | --report | --cache) ;; *) named "$word" ;; esac
            before=$word
        done
        # A function of the script is what it says, and no file of its name; a program is.
        if declare -F "$1" > /dev/null; then declare -f "$1"; else named "$1"; fi
    } | hashed
    set +f
}

step() {
    only_tables && return
    local out=$1 name=${1%/} key log file there=1
    shift
    local files=("$name")
    log=.steps/${name//\//+}
    key=$(key_of "$@")
    mapfile -t -O 1 files < <(beside "$@")
    for file in "${files[@]}"; do
        if [ ! -e "$file" ] || [ "$(cat ".steps/${file//\//+}.key" 2> /dev/null)" != "$key" ]; then there=''; fi
    done
    if [ -n "$there" ]; then
        cost=()
        return
    fi
    if [ -n "$dry_run" ]; then
        plan "$name" "$*"
        for file in "${files[@]}"; do planned[$file]=1; done
        return
    fi
    cost=()
    if [ "$(cat "$log.begun" 2> /dev/null)" != "$key" ]; then rm -rf "$name"; fi
    for file in "${files[@]}"; do
        rm -f ".steps/${file//\//+}.key"
        mkdir -p "$(dirname "$file")"
    done
    echo "$key" > "$log.begun"
    local begun=$SECONDS code=0
    # Beside the script, as there `set -e` holds within functions, and signals end the wait.
    if [ "$out" = "$name" ]; then
        "$@" > "$name.partial" 2> "$log.log" &
    else
        "$@" --resume -o "$name" > /dev/null 2> "$log.log" &
    fi
    wait $! || code=$?
    if [ $code != 0 ]; then
        printf '%s: %s: exit code %d: %s\n' "$study" "$name" "$code" "$(tail -n 1 "$log.log")" >&2
        exit $code
    fi
    if [ "$out" = "$name" ]; then mv -T "$name.partial" "$name"; fi
    rm "$log.begun"
    for file in "${files[@]}"; do echo "$key" > ".steps/${file//\//+}.key"; done
    printf '%s %s\n' "$((SECONDS - begun))" "$name" >> .steps/seconds
    printf '%6d s  %s\n' "$((SECONDS - begun))" "$name" >&2
}

# The ids of the documents that the built-in model was trained on.
trained_on=$(cd "$(dirname "${BASH_SOURCE[0]}")/../src/synthtools/prior" && pwd)/trained-on.jsonl.zst

# with_prior FILE…: the records that the built-in model was trained on. without_prior FILE…: the others.
with_prior() { of_prior -h "$@"; }
without_prior() { of_prior -v "$@"; }
of_prior() {
    synth cat "${@:2}" --quiet | grep "$1" -Ff <(synth cat "$trained_on" | tr -d '{} ' | sed 'p; s/:/: /') || [ $? = 1 ]
}

# apart BENCHMARK FIELD FILE…: the records without those that hold one of BENCHMARK, or a near-copy of one.
apart() {
    if [ -s "$1" ]; then
        synth decontaminate "${@:3}" --benchmark "$1" --text-field "$2" --item-fields "$2"
    else
        synth cat "${@:3}"
    fi
}

# held_out NAME FILE N [FIELD]: held-out/NAME.jsonl, N records none of which trained the built-in model, nor a
# near-copy of one. others NAME [FIELD]: texts/NAME.jsonl, the other records but for near-copies of either.
held_out() {
    step "unseen/$1.jsonl" without_prior "$2"
    step "seen/$1.jsonl" with_prior "$2"
    step "new/$1.jsonl" apart "seen/$1.jsonl" "${4:-text}" "unseen/$1.jsonl"
    step "held-out/$1.jsonl" synth sample "new/$1.jsonl" -n "$3" --or-all --text-field "${4:-text}" \
        --rest "left/$1.jsonl" --force
}
others() { step "texts/$1.jsonl" apart "held-out/$1.jsonl" "${2:-text}" "left/$1.jsonl" "seen/$1.jsonl"; }

# each_seed FUNCTION: FUNCTION once a seed ($seed), several at once.
each_seed() {
    local running=0 failed=0
    if [ -n "$dry_run" ] || [ "$jobs" = 1 ]; then
        for seed in $seeds; do "$1"; done
        return
    fi
    for seed in $seeds; do
        if [ $running = "$jobs" ]; then
            wait -n || failed=$?
            running=$((running - 1))
        fi
        [ $failed = 0 ] || break
        (
            trap ended EXIT
            "$1"
        ) &
        running=$((running + 1))
    done
    while [ $running -gt 0 ]; do
        wait -n || failed=$?
        running=$((running - 1))
    done
    [ $failed = 0 ] || exit $failed
}

ended() {
    local left
    left=$(jobs -p)
    # shellcheck disable=SC2086  # several numbers
    [ -z "$left" ] || { kill $left && wait; } 2> /dev/null || true
}
trap ended EXIT

# ---------------------------------------------------------------- what it costs

cost=()
planned_flop=0 planned_disk=0 planned_steps=0
declare -A planned_tokens=() planned=()

# costs train|read|write PARAMETERS TOKENS: what the next step takes; 6, 2 and 2 FLOP a parameter and token.
costs() { cost=("$@"); }

number() {
    awk -v n="$1" 'BEGIN { u = substr(n, length(n)); m["K"] = 1e3; m["M"] = 1e6; m["B"] = 1e9; m["T"] = 1e12
        print (u in m) ? substr(n, 1, length(n) - 1) * m[u] : n + 0 }'
}

plan() {
    planned_steps=$((planned_steps + 1))
    printf '  %-34s %s\n' "$1" "$(cut -c -120 <<< "$2")"
    [ ${#cost[@]} = 3 ] || return 0
    local parameters tokens
    parameters=$(number "${cost[1]}")
    tokens=$(number "${cost[2]}")
    case ${cost[0]} in
        # Weights are kept in 4 bytes, and while it runs two checkpoints of 12; tokens in 4 bytes once.
        train) planned_flop=$(sum "$planned_flop" "6 * $parameters * $tokens")
            planned_disk=$(sum "$planned_disk" "4 * $parameters") ;;
        read) planned_flop=$(sum "$planned_flop" "2 * $parameters * $tokens") ;;
        # Decoding moves the weights for each token of a batch: a fifth of the speed of reading.
        write) planned_flop=$(sum "$planned_flop" "10 * $parameters * $tokens")
            planned_disk=$(sum "$planned_disk" "5 * $tokens") ;;
    esac
    planned_tokens[${cost[0]}]=$(sum "${planned_tokens[${cost[0]}]:-0}" "$tokens")
    cost=()
}

sum() { awk "BEGIN { printf \"%.6g\", $1 + $2 }"; }

# ---------------------------------------------------------------- tables

# remember NAME VALUE: a variable that the tables depend on, kept with the rows.
remember() {
    if only_tables; then
        IFS= read -r "$1" < "$rows/$1" || true
    else
        printf -v "$1" '%s' "$2"
        [ -n "$dry_run" ] || printf '%s\n' "$2" > "rows/$1"
    fi
}

# gather NAME REPORT… OPTION…: rows/NAME.jsonl, a row each of the reports; of `synth table`.
gather() {
    only_tables || [ -n "$dry_run" ] || synth table "${@:2}" --rows "rows/$1.jsonl" --force > "rows/$1.json"
}

# table NAME OPTION…: the table and the claims of rows/NAME.jsonl, in the README and in tables/NAME.json.
# The toy scale judges no claim.
table() {
    local untested=()
    [ "$scale" != toy ] || untested=(--untested 'toy scale')
    table_of_theory "$@" ${untested[@]+"${untested[@]}"}
}

# table_of_theory NAME OPTION…: the same where no model is trained, so that claims are judged at every scale.
table_of_theory() {
    [ -n "$dry_run" ] && return
    mkdir -p tables
    synth table "$rows/$1.jsonl" "${@:2}" --markdown "$readme" --section "$1" > "tables/$1.json"
}

# figure NAME: the table as a picture beside the README.
figure() {
    [ -n "$dry_run" ] || synth plot "tables/$1.json" -o "$(dirname "$readme")/$1.png" --force
}

# The end of a study: of a dry run the sums; of a run its time.
finished() {
    if [ -n "$dry_run" ]; then
        local kind
        printf '\n%d steps to do.' "$planned_steps"
        for kind in train read write; do
            [ -z "${planned_tokens[$kind]+there}" ] ||
                awk "BEGIN { printf \" Tokens to $kind: %.3g.\", ${planned_tokens[$kind]} }"
        done
        awk "BEGIN { printf \"\n%.3g FLOP: %.3g hours of an H100 at 40 %% of its bfloat16 peak (989 TFLOP/s), or %.3g of a CPU core at 15 GFLOP/s. Disk: %.3g GB of models and texts.\n\", \
            $planned_flop, $planned_flop / 0.4 / 989e12 / 3600, $planned_flop / 15e9 / 3600, $planned_disk / 1e9 }"
    elif ! only_tables; then
        awk -v study="$study" '{ s += $1; n += 1 } END { if (n) printf "%s: %d steps, %.1f minutes of steps in all\n", study, n, s / 60 }' \
            .steps/seconds >&2
    fi
}
