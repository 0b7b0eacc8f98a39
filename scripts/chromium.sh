#!/usr/bin/env bash
# Sees that the tests find a Chromium; installs it where that needs no questions.
set -euo pipefail

for name in ${CHATVAULT_CHROMIUM:-} chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "chatvault: installing Chromium for the browser tests"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null && exit 0
fi
echo "chatvault: the browser tests need Chromium: install it (Debian: apt-get install chromium)," \
    "or name its path in CHATVAULT_CHROMIUM." >&2
exit 1
