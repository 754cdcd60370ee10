#!/bin/sh
# schemathesis, from PyPI, in a folder of its own below target/.
#   sh tests/schemathesis.sh install          make it available (needs the network once)
#   sh tests/schemathesis.sh run URL TOKEN    every check against a running server and the committed description
set -eu
cd "$(dirname "$0")/.."
VERSION=4.32.5
FOLDER=target/schemathesis-$VERSION

case ${1-} in
install)
    if ! [ -x "$FOLDER/bin/schemathesis" ]; then
        rm -rf "$FOLDER"
        python3 -m venv "$FOLDER"
        "$FOLDER/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$VERSION"
    fi
    "$FOLDER/bin/schemathesis" --version
    ;;
run)
    # It keeps what it found in its working folder.
    here=$(pwd)
    cd "$FOLDER"
    exec bin/schemathesis --config-file "$here/openapi/schemathesis.toml" run "$here/openapi/sternway.json" --url "$2" -H "Authorization: Bearer $3" \
        --checks all --request-timeout 60 --max-examples "${STERNWAY_EXAMPLES:-20}" --seed "${STERNWAY_SEED:-1}" --no-color
    ;;
*)
    echo "usage: sh tests/schemathesis.sh install | run URL TOKEN" >&2
    exit 2
    ;;
esac
