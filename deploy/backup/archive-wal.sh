#!/bin/sh
# PostgreSQL's archive_command: archive-wal.sh %p %f /mnt/archive
# Whole or not at all, on disk before it says so, and never over what is there.
set -eu
source=$1 target=$3/$2
if [ -e "$target" ]; then
    cmp -s "$source" "$target" && exit 0
    echo "archive-wal: $2 is there already and differs" >&2
    exit 1
fi
cp "$source" "$target.part"
sync "$target.part"
mv "$target.part" "$target"
sync "$3"
