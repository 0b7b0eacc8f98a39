#!/usr/bin/env bash
# Sees that there is a Redis server to break; installs it where that needs no questions.
set -euo pipefail

if command -v redis-server >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "chatvault: installing a Redis server"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server >/dev/null && exit 0
fi
echo "chatvault: this needs redis-server: install it (Debian: apt-get install redis-server)." >&2
exit 1
