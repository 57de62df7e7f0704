#!/usr/bin/env bash
# Unpacks a Debian package into a folder, without root and without installing it.   scripts/unpack-debian.sh PACKAGE FOLDER
set -euo pipefail
package=$1 folder=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! (cd "$work" && apt-get download -q "$package" >log 2>&1); then
  if [ "$(id -u)" = 0 ]; then apt-get update -q >>"$work/log" 2>&1 || true; fi
  (cd "$work" && apt-get download -q "$package" >>log 2>&1) || {
    echo "cannot get Debian's package '$package': run 'apt-get update' as root once, or install the package. apt-get said:" >&2
    tail -n 3 "$work/log" >&2
    exit 1
  }
fi
mkdir -p "$(dirname "$folder")"
dpkg -x "$work"/*.deb "$work/tree"
rm -rf "$folder"
mv "$work/tree" "$folder"
