#!/bin/sh
# Builds the demo's application and an image for each version:
#
#   sh docker/demo/build.sh VERSION...      (by default 1.4.2 and 1.5.0)
#
# Needs rustc, a C linker and an engine that answers (DOCKER_HOST, or the default socket). Nothing
# is pulled. Version 1.5.0 is the one that breaks.
set -eu

REPOSITORY=$(cd "$(dirname "$0")/../.." && pwd)
HERE=$REPOSITORY/docker/demo
CONTEXT=${CARGO_TARGET_DIR:-$REPOSITORY/target}/demo-image

# The classic builder: every engine has it, and BuildKit may lack its client part.
export DOCKER_BUILDKIT=0

# Static, because the image has no C library; only when the source is newer than the binary.
build_binary() {
    mkdir -p "$CONTEXT"
    cp "$HERE/Dockerfile" "$CONTEXT/Dockerfile"
    if [ -n "$(find "$CONTEXT/app" -newer "$HERE/app.rs" 2>/dev/null)" ]; then return 0; fi
    # To another name first: a build that is cut off must not look like a good one.
    rustc --edition 2024 -O -C target-feature=+crt-static -C strip=symbols \
        "$HERE/app.rs" -o "$CONTEXT/app.part"
    mv "$CONTEXT/app.part" "$CONTEXT/app"
}

build_image() {
    bad=0
    if [ "$1" = 1.5.0 ]; then bad=1; fi
    if ! output=$(docker build --build-arg "VERSION=$1" --build-arg "REVISION=$revision" \
        --build-arg "BAD=$bad" --tag "sternway-demo:$1" "$CONTEXT" 2>&1); then
        printf '%s\n' "The image sternway-demo:$1 could not be built:" "$output" >&2
        exit 1
    fi
    echo "sternway-demo:$1"
}

if [ $# -eq 0 ]; then set -- 1.4.2 1.5.0; fi
revision=$(git -C "$REPOSITORY" rev-parse --verify --quiet HEAD 2>/dev/null || echo unknown)
build_binary
for version in "$@"; do
    build_image "$version"
done
