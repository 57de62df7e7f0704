#!/usr/bin/env bash
# Benchmarks against PyTorch, which is installed from PyPI into the cache once.
#   bench/run.sh [engine exchange accuracy]      bench/run.sh --install   only installs, and prints the Python that has it
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
TORCH=2.15.0
place="$LEPTON_CACHE/torch-$TORCH"
if [ ! -e "$place/ready" ]; then
  echo "bench: installing torch $TORCH into $place (pip), about 5 GB" >&2
  rm -rf "$place"
  python3 -m venv "$place"
  "$place/bin/python" -m pip install --quiet --disable-pip-version-check "torch==$TORCH"
  touch "$place/ready"
fi
if [ "${1:-}" = --install ]; then
  echo "$place/bin/python"
  exit
fi
[ $# -gt 0 ] || set -- engine
for name in "$@"; do "$LEPTON_NODE" "bench/$name.ts" "$place/bin/python"; done
