#!/bin/sh
# Tries what strangers write with inputs that grow by the paths they take through the code.
#
#   sh tests/fuzz.sh build              compiles the targets, with network
#   sh tests/fuzz.sh run SECONDS [NAME] tries each target, or one, for so long; fails at the first input that breaks one
#
# What was grown is kept in target/fuzz/grown and gone on with. What breaks a target is put beside it, and its name is told.
set -eu
cd "$(dirname "$0")/.."

targets="messages signatures rules chats names files"
# An input that takes longer than this many seconds is a defect as well: the build is slow, and a rule has to answer at once.
slowest=5

build() {
    host=$(rustc -vV | sed -n 's/^host: //p')
    count="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
    count="$count -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
    count="$count -Cllvm-args=-sanitizer-coverage-trace-compares"
    # With a target named, build scripts and macros are compiled without counting.
    RUSTFLAGS="$count" cargo build --locked --manifest-path tests/fuzz/Cargo.toml --target "$host" --target-dir target/fuzz
    mkdir -p target/fuzz/bin
    for target in $targets; do
        cp "target/fuzz/$host/debug/$target" "target/fuzz/bin/$target"
    done
}

run() {
    for target in ${2-$targets}; do
        grown=target/fuzz/grown/$target
        found=target/fuzz/found/$target
        seeds=tests/fuzz/seeds/$target
        [ -d "$seeds" ] || seeds=tests/fuzz/seeds/messages
        mkdir -p "$grown" "$found"
        "target/fuzz/bin/$target" -max_total_time="$1" -timeout="$slowest" -rss_limit_mb=1024 -max_len=4096 \
            -artifact_prefix="$found/" -print_final_stats=1 "$grown" "$seeds" >"$found/log" 2>&1 || {
            tail -60 "$found/log" >&2
            echo "$target: this input breaks it; it is in $found" >&2
            exit 1
        }
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found/log")
        paths=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$found/log" | tail -1)
        echo "$target: $runs inputs, $paths paths"
    done
}

case ${1-} in
build) build ;;
run) run "${2:?SECONDS is missing}" ${3+"$3"} ;;
*)
    echo "usage: sh tests/fuzz.sh build | run SECONDS [NAME]" >&2
    exit 2
    ;;
esac
