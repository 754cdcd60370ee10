#!/bin/sh
# One real rollback, from nothing to the proof:
#
#   sh docker/demo.sh            run the demo and leave nothing running
#   sh docker/demo.sh --keep     leave it running at the end, to look around
#   sh docker/demo.sh --stop     stop what --keep left running
#   sh docker/demo.sh --trigger pagerduty
#                                let a signed event of PagerDuty's kind start the rollback
#
# Works on a fresh Debian machine: installs what is missing, starts an engine if none answers,
# builds the program and the demo's images, and runs `sternway demo`, to which every argument is
# handed on. DEMO_PORT chooses the application's port on this machine, 18080 by default.
set -eu

cd "$(dirname "$0")/.."
# shellcheck source-path=SCRIPTDIR/..
. docker/prepare.sh

# Not the folder of the tests' engine: the two may run side by side.
DEMO_ENGINE=${DEMO_ENGINE:-/var/lib/sternway-demo}
DEMO_PORT=${DEMO_PORT:-18080}
export DEMO_PORT

target=${CARGO_TARGET_DIR:-target}
sternway=$target/debug/sternway
lock=$target/demo.pid         # the process of the run that goes on
lock_child=$target/demo.child # the command that it runs
kept=$target/demo.kept        # exists while something was kept
began=$(date +%s)
child=                        # the command that runs now
keep=                         # set once there is something to keep

# Standard input, which a command in the background would not get.
exec 3<&0

step() {
    say "==> $*"
}

demo() {
    mkdir -p "$target"
    refuse_second_run
    trap finish EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    echo $$ >"$lock"
    stop_demo

    step "Packages"
    prepare_packages build engine compose postgres
    refuse_taken_port
    step "Engine"
    engine_start "$DEMO_ENGINE"
    step "Program (the first build takes a few minutes)"
    run cargo build --locked --bin sternway
    step "Images of the demo's application"
    run sh docker/demo/build.sh 1.4.2 1.5.0

    step "Demo, after $(seconds) s of preparation"
    case " $* " in
    *" --keep "*) keep=yes ;;
    esac
    run "$sternway" demo --compose-file docker/demo/compose.yml "$@"
    say "From the start of this script to the end of the demo: $(seconds) s."
}

seconds() {
    echo $(($(date +%s) - began))
}

refuse_second_run() {
    if process_runs "$lock" demo.sh; then
        say "A demo is running already (process $(cat "$lock")). Wait for its end, or end it there."
        exit 1
    fi
}

refuse_taken_port() {
    if has ss && ss -Hltn "sport = :$DEMO_PORT" | grep -q .; then
        say "Port $DEMO_PORT on this machine is taken. Set DEMO_PORT to a free one, run this again."
        exit 1
    fi
}

# Runs a command such that a signal to this script interrupts it: while a shell waits for a command
# in the foreground, it hears nothing.
run() {
    "$@" <&3 &
    child=$!
    echo "$child" >"$lock_child"
    run_status=0
    wait "$child" || run_status=$?
    child=
    return "$run_status"
}

# Every way out of a run leads through here.
finish() {
    finish_status=$?
    trap - EXIT
    trap '' HUP INT TERM
    end_child
    if [ -n "$keep" ]; then
        engine_keep
        : >"$kept"
        say "The demo is left running. To look at the engine: export DOCKER_HOST=$DOCKER_HOST"
        say "To stop it: sh docker/demo.sh --stop"
    else
        stop_demo
    fi
    rm -f "$lock" "$lock_child"
    exit "$finish_status"
}

# Asks the command that runs to end, and insists after 30 seconds.
end_child() {
    if [ -z "$child" ]; then return 0; fi
    kill "$child" 2>/dev/null || :
    child_tries=0
    while process_lives "$child" && [ "$child_tries" -lt 300 ]; do
        sleep 0.1
        child_tries=$((child_tries + 1))
    done
    if process_lives "$child"; then kill -9 "$child" || :; fi
    wait "$child" 2>/dev/null || :
    child=
}

# Stops the demo, whether this run started it or an earlier one: the program, the application, and
# the engine if it is ours. From somebody else's engine exactly the demo's own things are removed.
stop_demo() {
    # Left over only if the script was killed before it could end what it ran.
    if process_runs "$lock_child" "$sternway"; then
        child=$(cat "$lock_child")
        end_child
    fi
    if [ -e "$kept" ]; then
        "$sternway" demo --stop || say "\"sternway demo --stop\" failed; going on without it."
        rm -f "$kept"
    fi
    if has docker && stop_host=$(engine_found); then remove_application "$stop_host"; fi
    engine_stop "$DEMO_ENGINE"
}

# Takes the application off an engine: its images, every container made from them, its network.
remove_application() {
    docker --host "$1" image ls --quiet --no-trunc --filter reference=sternway-demo | sort -u |
        while read -r remove_image; do
            docker --host "$1" ps --all --quiet --filter "ancestor=$remove_image" |
                remove_all "$1" rm --force --volumes
            echo "$remove_image" | remove_all "$1" image rm --force
        done
    docker --host "$1" network ls --quiet --filter label=com.docker.compose.project=sternway-demo |
        remove_all "$1" network rm
}

# Removes the objects named on standard input from the engine at HOST, by the command that follows.
remove_all() {
    remove_host=$1
    shift
    while read -r remove_id; do
        docker --host "$remove_host" "$@" "$remove_id" >/dev/null ||
            say "The engine at $remove_host keeps $remove_id of the demo."
    done
}

case " $* " in
*" --help "* | *" -h "*)
    sed -n '2,/^set/s/^# \{0,1\}//p' docker/demo.sh
    ;;
*" --stop "*)
    refuse_second_run
    stop_demo
    ;;
*) demo "$@" ;;
esac
