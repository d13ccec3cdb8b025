#!/usr/bin/env bash
# record.sh NAME COMMAND...: runs COMMAND and keeps what it prints in results/NAME.txt,
# below the machine, the commit and the command, as benchstat reads them.
set -euo pipefail
results=$(cd "$(dirname "$0")" && pwd)/results
name=$1
shift
commit=$(git describe --always)
git diff --quiet HEAD -- "$(git rev-parse --show-toplevel)" ":!$results" || commit+=-dirty # what was recorded just before does not count
mkdir -p "$results"
{
  echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)"
  echo "kernel: $(uname -sr)"
  echo "go: $(go env GOVERSION)"
  echo "commit: $commit"
  echo "command:$(printf ' %q' "$@")"
  echo
  "$@"
} | tee "$results/$name.txt.new"
mv "$results/$name.txt.new" "$results/$name.txt"
