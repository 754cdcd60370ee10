# shellcheck shell=sh
#
# What docker/demo.sh and tests/run.sh need from the machine: packages and an engine.
#
# To be sourced (`. docker/prepare.sh`), also under `set -eu`. It offers:
#
#   prepare_packages NAME...     install what is missing, from Debian's packages
#   engine_start [DIR]           use the engine that answers, or start one of our own in DIR
#   engine_launch DIR [SOCKET]   start one of our own in DIR, whatever else answers
#   engine_keep                  leave ours running after this script
#   engine_stop [DIR]            stop ours, and nothing else; with DIR, the one that was kept there
#
# engine_start and engine_launch set and export DOCKER_HOST. An engine of our own has everything
# in one folder, DIR, which is thrown away when it stops: data, state, socket, log. Processes are
# only ever ended by the ids that we noted, after a look that they are still what we started.

# Where Debian keeps dockerd, iptables and ip; not on everybody's PATH.
PATH="$PATH:/usr/sbin:/sbin"
export PATH

ENGINE_DEADLINE=${ENGINE_DEADLINE:-60}                   # seconds until an engine must answer
ENGINE_DEFAULT_DIR=${ENGINE_DEFAULT_DIR:-/var/lib/sternway-engine}
ENGINE_STARTED=                                          # the folder of the engine we must stop
PREPARE_MARK="written by Sternway's docker/prepare.sh"

say() {
    printf '%s\n' "$*" >&2
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# Runs a command as root: as it is, or through sudo. Without a terminal sudo may not ask.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif ! has sudo; then
        say "This needs root, and there is no sudo here. Run it again as root."
        return 1
    elif [ -t 2 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# Writes standard input to a file of root's.
write_as_root() {
    as_root tee "$1" >/dev/null
}

# ---------------------------------------------------------------------------------- packages

# Installs what is missing for each NAME: engine, compose, postgres, build, python, or the name of
# a command whose Debian package has the same name (curl, jq, wrk, slowhttptest, shellcheck...).
prepare_packages() {
    prepare_missing=$(for prepare_name in "$@"; do missing_packages "$prepare_name"; done | sort -u)
    if [ -n "$prepare_missing" ]; then
        # One word per package, so it is not quoted.
        # shellcheck disable=SC2086
        install_packages $prepare_missing || return 1
    fi
    for prepare_name in "$@"; do
        if [ -n "$(missing_packages "$prepare_name")" ]; then
            say "After the installation \"$prepare_name\" is still not usable on this machine."
            return 1
        fi
    done
    case " $* " in
    *" build "*) check_rust || return 1 ;;
    esac
}

# Prints the Debian packages that are missing for one NAME; nothing when all is there.
missing_packages() {
    case $1 in
    engine)
        # Whoever has an engine, of whatever make, needs none of Debian's beside it.
        if has docker && engine_found >/dev/null; then return 0; fi
        if ! has dockerd || ! has containerd; then echo docker.io; fi
        if ! has docker; then docker_client_packages; fi
        if ! has iptables; then echo iptables; fi
        if ! has ip; then echo iproute2; fi
        # With AppArmor in the kernel but no parser, no container can be started.
        if grep -qs Y /sys/module/apparmor/parameters/enabled && ! has apparmor_parser; then
            echo apparmor
        fi
        ;;
    compose)
        if ! has docker-compose && ! docker compose version >/dev/null 2>&1; then
            echo docker-compose
        fi
        ;;
    postgres)
        if ! has_postgres; then echo postgresql; fi
        ;;
    build)
        if ! has cc; then echo gcc; fi
        if ! [ -e /usr/include/stdlib.h ]; then echo libc6-dev; fi
        ;;
    python)
        if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then echo python3-venv; fi
        ;;
    *)
        if ! has "$1"; then echo "$1"; fi
        ;;
    esac
}

# The server's own folder, not the PATH: what counts is initdb and postgres of one version.
has_postgres() {
    for prepare_bin in /usr/lib/postgresql/*/bin; do
        if [ -x "$prepare_bin/postgres" ] && [ -x "$prepare_bin/initdb" ]; then return 0; fi
    done
    return 1
}

# From Debian 13 on the client is a package of its own, and only recommended by the engine's.
docker_client_packages() {
    if apt-cache show docker-cli >/dev/null 2>&1; then echo docker-cli; else echo docker.io; fi
}

check_rust() {
    if ! has cargo || ! has rustc; then
        say "Rust is missing: cargo and rustc must be on the PATH (see rust-version in Cargo.toml)."
        say "Debian's own packages may be too old; rustup installs a current one."
        return 1
    fi
}

# Installs packages without letting any of them start a service or make a database cluster.
# A subshell, so that its clean-up does not touch the traps of the script that sourced this file.
install_packages() (
    if ! has apt-get; then
        say "Missing here: $*. They are Debian's names, and this machine has no apt-get:"
        say "install what provides them, then run this again."
        exit 1
    fi
    if ! as_root true; then
        say "What is to be installed: apt-get install --no-install-recommends $*"
        exit 1
    fi
    say "Installing from Debian's packages: $*"
    prepare_log=$(mktemp)
    trap 'allow_services; rm -f "$prepare_log"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    if ! apt_get "$prepare_log" update; then
        say "The list of packages could not be refreshed; trying with the old one."
    fi
    # Known only after the list is fresh on a new machine.
    if ! has docker && [ "$(docker_client_packages)" = docker-cli ]; then
        case " $* " in
        *" docker.io "*) set -- "$@" docker-cli ;;
        esac
    fi
    forbid_services
    if ! apt_get "$prepare_log" install -y --no-install-recommends "$@"; then
        say "Debian's package manager could not install: $*. Its last lines:"
        tail -n 15 "$prepare_log" >&2
        exit 1
    fi
)

# apt-get with patience: another one may hold the lock, and a mirror may hiccup. What it says goes
# to the file named first, to be shown only if it fails.
apt_get() {
    prepare_output=$1
    shift
    for prepare_try in 1 2 3; do
        if as_root env DEBIAN_FRONTEND=noninteractive apt-get -q \
            -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" \
            >"$prepare_output" 2>&1 </dev/null; then
            return 0
        fi
        if [ "$prepare_try" -lt 3 ]; then sleep $((prepare_try * 3)); fi
    done
    return 1
}

# While packages are installed: policy-rc.d is Debian's switch against services that start by
# themselves, and createcluster.d the one against PostgreSQL's default cluster.
forbid_services() {
    if ! [ -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\n# %s, for the time of one installation\nexit 101\n' "$PREPARE_MARK" |
            write_as_root /usr/sbin/policy-rc.d
        as_root chmod 755 /usr/sbin/policy-rc.d
    fi
    as_root mkdir -p /etc/postgresql-common/createcluster.d
    printf '# %s, for the time of one installation\ncreate_main_cluster = false\n' "$PREPARE_MARK" |
        write_as_root /etc/postgresql-common/createcluster.d/sternway.conf
}

allow_services() {
    if grep -qs "$PREPARE_MARK" /usr/sbin/policy-rc.d; then
        as_root rm -f /usr/sbin/policy-rc.d
    fi
    if [ -e /etc/postgresql-common/createcluster.d/sternway.conf ]; then
        as_root rm -f /etc/postgresql-common/createcluster.d/sternway.conf
    fi
    # Only if no package brought them; rmdir refuses a folder that holds anything.
    as_root rmdir /etc/postgresql-common/createcluster.d /etc/postgresql-common 2>/dev/null || :
}

# ------------------------------------------------------------------------------------ engine

# True when an engine answers at the address. Five seconds are enough for one that is well.
engine_answers() {
    DOCKER_CONTEXT='' timeout 5 docker --host "$1" version --format '{{.Server.Version}}' \
        >/dev/null 2>&1
}

# Prints the address of the engine that answers: at $DOCKER_HOST, else at the default socket.
engine_found() {
    for engine_host in "${DOCKER_HOST:-}" unix:///var/run/docker.sock; do
        if [ -n "$engine_host" ] && engine_answers "$engine_host"; then
            echo "$engine_host"
            return 0
        fi
    done
    return 1
}

# Uses the engine that answers; if none does, one of our own.
engine_start() {
    engine_dir=${1:-$ENGINE_DEFAULT_DIR}
    if engine_host=$(engine_found); then
        DOCKER_HOST=$engine_host
        export DOCKER_HOST
        say "Using the engine at $DOCKER_HOST"
        return 0
    fi
    if [ -n "${DOCKER_HOST:-}" ]; then
        say "No engine answers at DOCKER_HOST=$DOCKER_HOST, so one is started here."
    elif [ -S /var/run/docker.sock ] && ! [ -w /var/run/docker.sock ]; then
        say "The engine's socket /var/run/docker.sock refuses $(id -un), so one is started here."
    fi
    engine_launch "$engine_dir"
}

# Starts an engine in DIR, or takes the one that an earlier run left there. An engine that was
# kept on purpose, or whose script still runs, is used and left alone; one whose script died
# is ours to stop.
engine_launch() {
    engine_dir=$1
    engine_socket=${2:-$engine_dir/docker.sock}
    if engine_runs "$engine_dir" && engine_wait "$engine_dir"; then
        engine_socket=$(cat "$engine_dir/socket")
        if ! engine_is_owned "$engine_dir"; then engine_own "$engine_dir"; fi
        say "Using the engine in $engine_dir"
    else
        engine_launch_new "$engine_dir" "$engine_socket" || return 1
    fi
    DOCKER_HOST=unix://$engine_socket
    export DOCKER_HOST
}

engine_launch_new() {
    # A unix socket's path ends at 107 bytes, and containerd adds its own below ours.
    if [ "${#1}" -gt 60 ]; then
        say "The engine's folder must have a shorter path than $1 (60 characters)."
        return 1
    fi
    if ! as_root true; then
        say "An engine can only be started by root."
        return 1
    fi
    # An empty folder is as good as none.
    if [ -e "$1" ] && ! as_root rmdir "$1" 2>/dev/null; then engine_discard "$1" || return 1; fi
    engine_prepare_dir "$1" "$2" || return 1
    engine_own "$1"
    engine_spawn "$1" "$2"
    if engine_wait "$1"; then return 0; fi
    if engine_wants_legacy_iptables "$1"; then
        say "This kernel has no nf_tables; trying with the older iptables."
        engine_kill "$1"
        as_root mkdir -p "$1/bin"
        for engine_tool in iptables ip6tables; do
            as_root ln -s "$(command -v "$engine_tool-legacy")" "$1/bin/$engine_tool"
        done
        engine_spawn "$1" "$2"
        if engine_wait "$1"; then return 0; fi
    fi
    say "No engine could be started. The last lines of its log:"
    as_root tail -n 20 "$1/engine.log" >&2 || :
    engine_explain "$1"
    engine_stop "$1" || :
    return 1
}

# What was here before us is noted, so that exactly the difference can be removed at the end.
engine_prepare_dir() {
    as_root mkdir -p "$1" || return 1
    echo "$PREPARE_MARK" | write_as_root "$1/made-by"
    echo "$2" | write_as_root "$1/socket"
    echo '{}' | write_as_root "$1/daemon.json"
    bridges | write_as_root "$1/bridges-before"
    write_as_root "$1/ip_forward-before" </proc/sys/net/ipv4/ip_forward
    as_root iptables -S FORWARD 2>/dev/null | grep '^-P' | write_as_root "$1/policy-before"
}

# A session of its own, so that Ctrl-C in our terminal reaches us and not the engine. Its own
# configuration file, because the machine's /etc/docker/daemon.json may contradict our flags.
engine_spawn() {
    # The variables in quotes are meant for the inner shell.
    # shellcheck disable=SC2016
    as_root setsid --fork sh -c '
        cd /
        echo $$ >"$1/engine.pid"
        PATH="$1/bin:$PATH"
        exec dockerd --config-file "$1/daemon.json" --data-root "$1/data" --exec-root "$1/exec" \
            --pidfile "$1/docker.pid" --host "unix://$2" --group "$3" \
            >"$1/engine.log" 2>&1 </dev/null
    ' sh "$1" "$2" "$(id -g)"
    # The inner shell notes its id at once; until then the engine would look dead.
    engine_tries=0
    while ! [ -s "$1/engine.pid" ] && [ "$engine_tries" -lt 50 ]; do
        sleep 0.1
        engine_tries=$((engine_tries + 1))
    done
}

# Waits until the engine in DIR answers. False when it dies, or at the deadline.
engine_wait() {
    engine_tries=0
    while ! engine_answers "unix://$(cat "$1/socket")"; do
        if ! engine_runs "$1" || [ "$engine_tries" -ge $((ENGINE_DEADLINE * 10)) ]; then
            return 1
        fi
        sleep 0.1
        engine_tries=$((engine_tries + 1))
    done
}

# True when the process noted in FILE exists and has WORD on its command line: ids are reused.
process_runs() {
    process_id=$(cat "$1" 2>/dev/null) || return 1
    [ -n "$process_id" ] && tr '\0' ' ' 2>/dev/null <"/proc/$process_id/cmdline" | grep -qF -- "$2"
}

engine_runs() {
    process_runs "$1/engine.pid" "$1/"
}

engine_own() {
    echo $$ | write_as_root "$1/owner"
    ENGINE_STARTED=$1
}

# True when somebody else is responsible for the engine in DIR.
engine_is_owned() {
    engine_owner=$(cat "$1/owner" 2>/dev/null) || return 1
    [ "$engine_owner" = kept ] ||
        { [ "$engine_owner" != $$ ] && [ -d "/proc/$engine_owner" ]; }
}

engine_keep() {
    if [ -n "$ENGINE_STARTED" ]; then
        echo kept | write_as_root "$ENGINE_STARTED/owner"
        ENGINE_STARTED=
    fi
}

engine_wants_legacy_iptables() {
    has iptables-legacy && has ip6tables-legacy &&
        as_root grep -qE 'iptables|nf_tables|nft' "$1/engine.log"
}

engine_explain() {
    if as_root grep -qi 'permission denied\|operation not permitted' "$1/engine.log"; then
        say "It was refused something that only a real root may do: this machine may itself be a"
        say "container without privileges. Set DOCKER_HOST to an engine elsewhere, or use a machine"
        say "where root is root."
    elif as_root grep -qi 'cgroup.*mounted' "$1/engine.log"; then
        say "No control groups are mounted here: mount them at /sys/fs/cgroup and run this again."
    fi
}

# ------------------------------------------------------------------------- stopping the engine

# Stops the engine that this script started; with DIR, the one that lives there. It leaves no
# process, mount, interface, firewall rule or file of it.
engine_stop() {
    engine_dir=${1:-$ENGINE_STARTED}
    ENGINE_STARTED=
    if [ -z "$engine_dir" ] || ! [ -e "$engine_dir" ]; then return 0; fi
    if engine_runs "$engine_dir"; then engine_empty "$engine_dir"; fi
    engine_discard "$engine_dir"
}

# Lets the engine itself take down its containers and networks: nobody does it as cleanly.
engine_empty() {
    engine_host=unix://$(cat "$1/socket")
    if ! engine_answers "$engine_host"; then return 0; fi
    engine_containers=$(timeout 20 docker --host "$engine_host" ps --all --quiet) || return 0
    if [ -n "$engine_containers" ]; then
        # One word per container.
        # shellcheck disable=SC2086
        timeout 60 docker --host "$engine_host" rm --force $engine_containers >/dev/null 2>&1 || :
    fi
    timeout 30 docker --host "$engine_host" network prune --force >/dev/null 2>&1 || :
}

# Ends whatever is left of the engine in DIR, and removes the folder. Only a folder of ours.
engine_discard() {
    if ! grep -qs "$PREPARE_MARK" "$1/made-by"; then
        say "$1 is not an engine folder of ours, so it is left alone."
        return 1
    fi
    engine_kill "$1"
    engine_unmount "$1"
    engine_remove_bridges "$1"
    engine_restore_firewall "$1"
    as_root rm -f "$(cat "$1/socket")"
    as_root rm -rf "$1"
}

# The daemon, its containerd, and what outlives both: the shims, each the parent of a container.
engine_kill() {
    if engine_runs "$1"; then
        engine_end "$(cat "$1/engine.pid")"
    fi
    if process_runs "$1/exec/containerd/containerd.pid" "$1/"; then
        engine_end "$(cat "$1/exec/containerd/containerd.pid")"
    fi
    for engine_shim in $(engine_shims "$1"); do
        for engine_child in $(children "$engine_shim"); do
            as_root kill -9 "$engine_child" 2>/dev/null || :
        done
        as_root kill -9 "$engine_shim" 2>/dev/null || :
    done
}

# Asks a process to end, and insists after 20 seconds.
engine_end() {
    as_root kill "$1" 2>/dev/null || return 0
    engine_tries=0
    while process_lives "$1"; do
        if [ "$engine_tries" -eq 200 ]; then as_root kill -9 "$1" 2>/dev/null || :; fi
        if [ "$engine_tries" -ge 220 ]; then return 0; fi
        sleep 0.1
        engine_tries=$((engine_tries + 1))
    done
}

# A zombie's command line is empty: it has ended, whoever has yet to take note of it.
process_lives() {
    [ -n "$(tr -d '\0' 2>/dev/null <"/proc/$1/cmdline")" ]
}

# The ids of the shims whose containerd lives below DIR.
engine_shims() {
    for engine_proc in /proc/[0-9]*; do
        if tr '\0' ' ' 2>/dev/null <"$engine_proc/cmdline" |
            grep -qF -- "-address $1/exec/containerd/containerd.sock"; then
            echo "${engine_proc#/proc/}"
        fi
    done
}

children() {
    cat "/proc/$1/task"/*/children 2>/dev/null || :
}

# Deepest first: a mount below another one must go before it.
engine_unmount() {
    cut -d ' ' -f 2 /proc/self/mounts | grep -F "$1/" | sort -r | while read -r engine_mount; do
        as_root umount --lazy "$engine_mount" 2>/dev/null || :
    done
}

bridges() {
    ip -o link show type bridge | sed 's/^[0-9]*: \([^:@]*\).*/\1/'
}

# Bridges with an engine's names that were not here before it and that nothing is plugged into.
engine_remove_bridges() {
    bridges | grep -E '^(docker0|br-[0-9a-f]{12})$' | while read -r engine_bridge; do
        if ! grep -qxF "$engine_bridge" "$1/bridges-before" &&
            [ -z "$(ip -o link show master "$engine_bridge")" ]; then
            as_root ip link delete "$engine_bridge" || :
        fi
    done
}

# The engine leaves its chains behind, forwarding switched on and its policy at DROP. If no other
# engine was here before (there would have been a docker0), all three go back.
engine_restore_firewall() {
    if grep -qx docker0 "$1/bridges-before" || bridges | grep -qx docker0; then return 0; fi
    engine_path=$PATH
    PATH="$1/bin:$PATH"
    for engine_tool in iptables ip6tables; do
        for engine_table in filter nat; do
            engine_remove_rules "$engine_tool" "$engine_table"
        done
    done
    if [ -s "$1/policy-before" ]; then
        # "-P FORWARD ACCEPT" is three words.
        # shellcheck disable=SC2046
        as_root iptables $(cat "$1/policy-before") || :
    fi
    PATH=$engine_path
    write_as_root /proc/sys/net/ipv4/ip_forward <"$1/ip_forward-before" || :
}

# Takes out of one table the rules that mention the engine's chains or bridges, those that let a
# container reach its own published port (one address, to itself), and then the chains.
engine_remove_rules() {
    as_root "$1" -t "$2" -S 2>/dev/null |
        grep -E '^-A .*(DOCKER|docker0|br-[0-9a-f]{12}|-s ([^ ]+) -d \2 .*MASQUERADE)' |
        sed 's/^-A/-D/' | while read -r engine_rule; do
        # shellcheck disable=SC2086
        as_root "$1" -t "$2" $engine_rule 2>/dev/null || :
    done
    as_root "$1" -t "$2" -S 2>/dev/null | sed -n 's/^-N \(DOCKER.*\)/\1/p' |
        while read -r engine_chain; do
            as_root "$1" -t "$2" -X "$engine_chain" 2>/dev/null || :
        done
}
