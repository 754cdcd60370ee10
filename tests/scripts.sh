#!/bin/sh
# Every shell script parses, no file names a path of the machine that it was written on, and nothing is kept that a
# tool leaves behind.
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
if [ -n "$(git ls-files --cached --ignored --exclude-standard)" ]; then
    git ls-files --cached --ignored --exclude-standard >&2
    echo "The files above are ignored, and kept all the same: git rm --cached them." >&2
    exit 1
fi
