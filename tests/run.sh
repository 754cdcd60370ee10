#!/bin/sh
# Every check and every test, on a machine where nothing was prepared: `sh tests/run.sh`.
#
# What is missing is installed first. Then everything runs without network, in namespaces of its own: a private
# loopback, a private engine, private Postgres servers. When this script ends, or is killed, all of it is gone.
#
#   sh tests/run.sh              everything
#   sh tests/run.sh -- FILTER    only tests whose name contains FILTER, without the checks
set -eu
cd "$(dirname "$0")/.."

# What a test says is in its message: a trace of frames would only push that out of sight.
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 RUST_BACKTRACE=0

# ------------------------------------------------------------------ outside: installs and compiles, with network
outside() {
    # shellcheck source=docker/prepare.sh
    . docker/prepare.sh
    if [ "$(id -u)" -ne 0 ]; then
        say "The tests start a private Docker engine, which needs root: run this as root."
        exit 1
    fi
    # Engine packages are needed even where a foreign engine answers: the tests start and kill their own.
    for package in dockerd containerd iptables ip; do
        if ! has "$package"; then install_packages docker.io iptables iproute2; break; fi
    done
    # docker-compose itself: the tests run that program, and Docker's plugin is another one.
    prepare_packages engine docker-compose postgres build g++ python slowhttptest curl git haproxy caddy docker-registry \
        prometheus prometheus-alertmanager

    if [ $# -eq 0 ]; then
        step "scripts" sh tests/scripts.sh
        step "format" cargo fmt --all --check
        step "format of the fuzz targets" cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
        step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
        step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
    fi
    step "compile" cargo test --workspace --locked --no-run
    step "compile the server" cargo build --locked --package sternway --package tests --bin sternway --bench bench
    if [ $# -eq 0 ]; then step "compile the fuzz targets" sh tests/fuzz.sh build; fi
    step "schemathesis" sh tests/schemathesis.sh install
    step "Compose 2" sh tests/compose2.sh install

    # --kill-child and a process namespace: whatever happens to this script, nothing outlives it.
    exec unshare --net --mount --pid --fork --kill-child --mount-proc sh tests/run.sh --inside "$@"
}

# ------------------------------------------------------------------ inside: only loopback exists
inside() {
    # shellcheck source=docker/prepare.sh
    . docker/prepare.sh
    ip link set lo up
    # The default socket of this namespace is the private engine's, not the machine's.
    mount -t tmpfs tmpfs /run
    STERNWAY_TEST_DIR=$(mktemp -d)
    export STERNWAY_TEST_DIR CARGO_NET_OFFLINE=true
    trap 'engine_stop; rm -rf "$STERNWAY_TEST_DIR"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    engine_launch "$STERNWAY_TEST_DIR/engine" /run/docker.sock
    step "images" sh docker/demo/build.sh 1.4.2 1.5.0
    # Stories mostly wait for engines and deadlines: more of them than there are cores can go on side by side.
    export RUST_TEST_THREADS=3
    # Whatever fails, everything is tried: one run tells all.
    step "tests" cargo test --workspace --locked --no-fail-fast "$@"
    if [ $# -eq 0 ]; then
        step "fuzz targets" sh tests/fuzz.sh run 5
        for benchmark in downtime steps footprint takeover group clone intake trigger; do
            step "benchmark $benchmark" sh tests/bench.sh "$benchmark" --smallest
        done
    fi
    say "All checks and tests passed."
}

step() {
    step_name=$1
    shift
    step_begun=$(date +%s)
    printf '== %s\n' "$step_name" >&2
    "$@"
    printf '== %s: %s s\n' "$step_name" "$(($(date +%s) - step_begun))" >&2
}

case ${1-} in
--inside)
    shift
    inside "$@"
    ;;
--)
    outside "$@"
    ;;
'')
    outside
    ;;
*)
    echo "usage: sh tests/run.sh [-- FILTER]" >&2
    exit 2
    ;;
esac
