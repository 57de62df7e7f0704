#!/usr/bin/env bash
# Makes a checkout ready: Node packages, native libraries, the compiled engine. Says what it installs; does nothing twice.
# Downloads go to the cache folder (LEPTON_CACHE, default ~/.cache/lepton), never into the system.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh

missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need node "Node.js 20 or newer (Debian: nodejs)"
need npm "npm (Debian: npm)"
need python3 "Python 3 with pip (Debian: python3 python3-pip)"
need g++ "a C++20 compiler (Debian: g++)"
need cmake "CMake 3.20 or newer (Debian: cmake)"
if command -v python3 >/dev/null 2>&1 && ! python3 -m pip --version >/dev/null 2>&1; then
  missing+=("pip for Python 3 (Debian: python3-pip)")
fi
if command -v node >/dev/null 2>&1 && [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
  missing+=("Node.js 20 or newer (found $(node --version))")
fi
if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
  missing+=("Linux on x86-64 (found $(uname -s) on $(uname -m)): the oneDNN library is published for it alone")
fi
if [ ${#missing[@]} -gt 0 ]; then
  printf 'lepton setup: this machine lacks\n' >&2
  printf '  - %s\n' "${missing[@]}" >&2
  exit 1
fi

say() { printf 'setup: %s\n' "$*" >&2; }
mkdir -p "$LEPTON_CACHE" build

packages_stamp=node_modules/.lepton-$(cat package.json package-lock.json | sha256sum | cut -c1-16)
if [ ! -e "$packages_stamp" ]; then
  say "installing Node packages into node_modules (npm install; among them Node 24 itself), about 400 MB"
  # Not `npm ci`: it refuses a lock file made where the registry lacks the optional packages of other platforms.
  npm install --no-save --no-audit --no-fund --loglevel=error >&2
  touch "$packages_stamp"
fi

if [ ! -e "$LEPTON_PREFIX/lib/libdnnl.so" ]; then
  say "installing oneDNN 3.2, clang-format and ninja into $LEPTON_PREFIX (pip download), about 60 MB"
  mkdir -p "$(dirname "$LEPTON_PREFIX")"
  python3 scripts/wheels.py scripts/requirements.txt "$LEPTON_PREFIX"
fi

if [ ! -e build/native/build.ninja ] || ! grep -qF "$LEPTON_PREFIX" build/native/CMakeCache.txt; then
  say "configuring the native engine in build/native"
  rm -rf build/native
  cmake -S native -B build/native -G Ninja -DCMAKE_MAKE_PROGRAM="$LEPTON_NINJA" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_PREFIX_PATH="$LEPTON_PREFIX" -DLEPTON_TESTS=OFF >build/configure.log 2>&1 ||
    { cat build/configure.log >&2; exit 1; }
fi
if "$LEPTON_NINJA" -C build/native -n lepton_node 2>/dev/null | grep -qE '\] (Building|Linking)'; then
  say "compiling the native engine (a minute or two the first time)"
fi
"$LEPTON_NINJA" -C build/native lepton_node >build/compile.log 2>&1 || { tail -n 60 build/compile.log >&2; exit 1; }
