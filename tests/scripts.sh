#!/bin/sh
# Every shell script parses, and none names a path of the machine that it was written on.
set -eu
cd "$(dirname "$0")/.."
for script in $(git ls-files '*.sh') .ci/run; do
    case $script in
    .ci/run) bash -n "$script" ;;
    *) sh -n "$script" ;;
    esac
done
if git grep -n -I -E '(^|[^a-zA-Z0-9_.])/(work|root|home)/[a-z]' -- . ':!*.lock' ':!tests/scripts.sh'; then
    echo "The lines above name a path of one machine." >&2
    exit 1
fi
