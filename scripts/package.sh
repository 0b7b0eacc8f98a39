#!/usr/bin/env bash
# Sees that the tests find a program; installs its Debian package where that needs no questions.
# Usage: scripts/package.sh PROGRAM PACKAGE "what it is for"
set -euo pipefail

program=$1 package=$2 purpose=$3
if command -v "$program" >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "chatvault: installing $package for $purpose"
    export DEBIAN_FRONTEND=noninteractive
    export RUNLEVEL=1 # installed, not started: the tests start their own
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package" >/dev/null && exit 0
fi
echo "chatvault: $purpose need $program: install it (Debian: apt-get install $package)." >&2
exit 1
