#!/bin/sh
# What Sternway costs, measured in one run beside what there is without it:
#
#   sh tests/bench.sh NAME               downtime, steps, footprint, takeover, group, clone, intake or trigger: a table, and
#                                        target/bench/NAME.json
#   sh tests/bench.sh NAME --smallest    each thing once and little of it, in the dev profile: only proves that it works
#
# Builds what it needs, installs what is missing, starts an engine if none answers, and leaves nothing running.
# Without network nothing is installed: everything must be there, as in the namespaces of tests/run.sh.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=docker/prepare.sh
. docker/prepare.sh

usage() {
    echo "usage: sh tests/bench.sh downtime|steps|footprint|takeover|group|clone|intake|trigger [--smallest]" >&2
    exit 2
}

case "${1-} ${2-}" in
'downtime '* | 'steps '* | 'footprint '* | 'takeover '* | 'group '* | 'clone '* | 'intake '* | 'trigger '*) ;;
*) usage ;;
esac
case $#${2-} in
1 | 2--smallest) ;;
*) usage ;;
esac

target=${CARGO_TARGET_DIR:-target}
profile=release
if [ "${2-}" = --smallest ]; then profile=dev; fi
scratch=
bench=

# Every way out leads through here.
finish() {
    finish_status=$?
    trap - EXIT
    trap '' HUP INT TERM
    # Told to end, it drops its servers; if it can not, the kernel tells them that it is gone.
    if [ -n "$bench" ] && process_lives "$bench"; then kill "$bench" || :; wait "$bench" 2>/dev/null || :; fi
    if [ -n "$scratch" ]; then
        remove_containers
        engine_stop
        remove_scratch
    fi
    exit "$finish_status"
}

# Only what a run that was interrupted left on an engine that is not ours; a finished one leaves nothing.
remove_containers() {
    if [ -z "${DOCKER_HOST-}" ] || ! engine_answers "$DOCKER_HOST"; then return 0; fi
    for project in sternway-bench sternway-bench-slow sternway-bench-host sternway-bench-haproxy sternway-bench-caddy \
        sternway-bench-0 sternway-bench-1 sternway-bench-2; do
        for label in com.docker.compose.project sternway.application sternway.keep sternway.lock; do
            for container in $(docker ps --all --quiet --filter "label=$label=$project"); do
                docker rm --force "$container" >/dev/null || :
            done
        done
        for label in com.docker.compose.project sternway.stage; do
            for network in $(docker network ls --quiet --filter "label=$label=$project"); do
                docker network rm "$network" >/dev/null || :
            done
        done
    done
    for container in $(docker ps --all --quiet --filter label=sternway-bench); do
        docker rm --force "$container" >/dev/null || :
    done
}

# A Postgres that was told to end a moment ago may still be writing.
remove_scratch() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        if rm -rf "$scratch" 2>/dev/null; then return 0; fi
        sleep 0.5
    done
    say "$scratch could not be removed."
}

# Both in one go, so that their dependencies are compiled once; prints the benchmark's program.
build() {
    cargo build --profile "$profile" --locked --package sternway --package tests --bin sternway --bench bench \
        --message-format=json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*\/bench-[0-9a-f]*\)".*/\1/p'
}

case $1 in
downtime) prepare_packages build postgres engine compose haproxy caddy ;;
group) prepare_packages build postgres engine compose ;;
takeover | clone | trigger) prepare_packages build postgres engine ;;
*) prepare_packages build postgres ;;
esac
program=$(build)
if [ -z "$program" ]; then
    say "The benchmark could not be built."
    exit 1
fi

trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
scratch=$(mktemp -d "${TMPDIR:-/tmp}/sternway-bench.XXXXXX")
# Postgres runs as another user and has to walk through; what is private has its own mode.
chmod 711 "$scratch"
case $1 in
downtime | takeover | group | clone | trigger)
    engine_start "$scratch/engine"
    sh docker/demo/build.sh 1.4.1 1.4.2 1.5.0 >/dev/null
    ;;
esac
STERNWAY_BENCH_BINARY=$target/release/sternway
if [ "$profile" = dev ]; then STERNWAY_BENCH_BINARY=$target/debug/sternway; fi
STERNWAY_BENCH_SCRATCH=$scratch
STERNWAY_BENCH_FIGURES=$target/bench
export STERNWAY_BENCH_BINARY STERNWAY_BENCH_SCRATCH STERNWAY_BENCH_FIGURES
# In the background, because a shell that waits for a command in the foreground hears no signal.
"$program" "$@" &
bench=$!
status=0
wait "$bench" || status=$?
bench=
exit "$status"
