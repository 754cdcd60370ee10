#!/bin/sh
# Compose 2, as a plugin of `docker`, in a folder of its own below target/: Debian 12 has Compose 1 alone. It is Debian
# 13's package, fetched from where this machine has its packages and checked by their signature; nothing is installed.
#   sh tests/compose2.sh install              make it available (needs the network once)
#   sh tests/compose2.sh home                 print the folder which, as HOME, gives `docker compose`
set -eu
cd "$(dirname "$0")/.."
SUITE=trixie
HOME_OF_IT=$(pwd)/target/compose2-$SUITE
PLUGIN=$HOME_OF_IT/.docker/cli-plugins/docker-compose
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

case ${1-} in
install)
    if ! [ -x "$PLUGIN" ]; then
        rm -rf "$HOME_OF_IT"
        scratch=$(mktemp -d)
        trap 'rm -rf "$scratch"' EXIT
        # The first place of Debian's main archive that this machine is told of.
        archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' |
            grep -v -e security -e debug | head -n 1)
        mkdir -p "$scratch/lists/partial" "$scratch/package"
        printf 'deb [signed-by=%s] %s %s main\n' "$KEYS" "$archive" "$SUITE" >"$scratch/sources.list"
        apt() {
            apt-get --quiet --quiet -o Dir::Etc::sourcelist="$scratch/sources.list" -o Dir::Etc::sourceparts=- \
                -o Dir::State::lists="$scratch/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
                -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
        }
        apt update
        (cd "$scratch" && apt download docker-compose && dpkg-deb --extract docker-compose_*.deb package)
        mkdir -p "$(dirname "$PLUGIN")"
        cp "$scratch/package/usr/libexec/docker/cli-plugins/docker-compose" "$PLUGIN"
    fi
    HOME=$HOME_OF_IT docker compose version
    ;;
home)
    echo "$HOME_OF_IT"
    ;;
*)
    echo "usage: sh tests/compose2.sh install | home" >&2
    exit 2
    ;;
esac
