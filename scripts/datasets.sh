#!/usr/bin/env bash
# Prints the folder of Fashion-MNIST's four IDX files; gets them from Debian's package dataset-fashion-mnist where needed, without root.
# Looked for in: $LEPTON_DATA/fashion-mnist, /usr/share/datasets/fashion-mnist, the cache.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
name=fashion-mnist
for folder in ${LEPTON_DATA:+"$LEPTON_DATA/$name"} "/usr/share/datasets/$name" "$LEPTON_CACHE/datasets/$name/usr/share/datasets/$name"; do
  if ls "$folder"/train-images-idx3-ubyte* >/dev/null 2>&1; then
    echo "$folder"
    exit
  fi
done
echo "datasets: unpacking Debian's package dataset-$name into $LEPTON_CACHE/datasets/$name, 31 MB" >&2
scripts/unpack-debian.sh "dataset-$name" "$LEPTON_CACHE/datasets/$name" ||
  { echo "datasets: or put the four IDX files into a folder $name and set LEPTON_DATA to its parent" >&2; exit 1; }
echo "$LEPTON_CACHE/datasets/$name/usr/share/datasets/$name"
