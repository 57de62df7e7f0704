#!/usr/bin/env bash
# Runs the tests by level, each with its runner's own closing lines.   scripts/test.sh [check native sanitize unit process api-server e2e examples]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
# Tests start hundreds of processes: what Node makes of our TypeScript is kept for the next one.
export NODE_COMPILE_CACHE="$PWD/build/compile-cache"
levels=("$@")
[ ${#levels[@]} -gt 0 ] || levels=(check native unit process examples api-server e2e sanitize)

# GoogleTest's sources: of the system, else out of Debian's package, unpacked into the cache.
googletest() {
  if [ -d /usr/src/googletest ]; then echo /usr/src/googletest; return; fi
  local place="$LEPTON_CACHE/googletest"
  if [ ! -d "$place/usr/src/googletest" ]; then
    echo "test: unpacking Debian's package googletest into $place" >&2
    scripts/unpack-debian.sh googletest "$place"
  fi
  echo "$place/usr/src/googletest"
}

# $1: build folder, $2...: CMake settings. Configures once, builds, runs ctest.
ctest_in() {
  local folder=$1; shift
  if [ ! -e "$folder/build.ninja" ] || ! grep -qF "$LEPTON_PREFIX" "$folder/CMakeCache.txt"; then
    rm -rf "$folder"
    cmake -S native -B "$folder" -G Ninja -DCMAKE_MAKE_PROGRAM="$LEPTON_NINJA" -DCMAKE_PREFIX_PATH="$LEPTON_PREFIX" \
      -DLEPTON_TESTS=ON -DLEPTON_GTEST_DIR="$(googletest)" "$@" >"$folder.log" 2>&1 || { cat "$folder.log" >&2; exit 1; }
  fi
  "$LEPTON_NINJA" -C "$folder" >"$folder.log" 2>&1 || { tail -n 80 "$folder.log" >&2; exit 1; }
  (cd "$folder" && OMP_NUM_THREADS=1 ctest --verbose --timeout 600 -j 2)
}

# The test files of a folder ($1). Those named after it take longest and come first, or everybody waits for them in the end.
files_in() {
  local folder=$1 name
  shift
  { for name in "$@"; do echo "$folder/$name.test.ts"; done; find "$folder" -name '*.test.ts' | sort; } | awk '!seen[$0]++'
}

# Node's own runner: $1 files at a time, $2... files, of which each may take minutes.
node_tests() {
  local at_once=$1
  shift
  [ $# -gt 0 ] || { echo "test: no test files" >&2; exit 1; }
  "$LEPTON_NODE" --test --test-concurrency="$at_once" $(reported 600) "$@"
}

# Arguments of Node's runner: it speaks and keeps what it says for `failures`. $1: seconds that a file may take.
reported() {
  echo "--test-timeout=$(($1 * 1000)) --test-reporter=spec --test-reporter-destination=stdout" \
    "--test-reporter=spec --test-reporter-destination=$(mktemp "$kept/XXXXXX")"
}

# What failed, once more and last: whoever reads only the end of a long log finds it there.
failures() {
  [ ! -d "$kept" ] || find "$kept" -type f -exec sed -n '/^✖ failing tests:/,$p' {} + >&2
}

# Runs commands side by side: the first speaks at once, the others when they have ended, in their order. Fails when one of them fails.
side_by_side() {
  local command at failed=
  said=$(mktemp -d build/said.XXXXXX)
  set -m # each in a process group of its own, which ends with this script
  for command in "$@"; do
    at=${#beside[@]}
    if [ "$at" = 0 ]; then $command </dev/null & else $command </dev/null >"$said/$at" 2>&1 & fi
    beside+=($!)
  done
  set +m
  for at in "${!beside[@]}"; do
    wait "${beside[$at]}" || failed=yes
    [ "$at" = 0 ] || cat "$said/$at"
  done
  beside=()
  rm -rf "$said"
  [ -z "$failed" ]
}
beside=() said=
kept=$(mktemp -d "${TMPDIR:-/tmp}/lepton-test.XXXXXX")
trap 'status=$?; for group in "${beside[@]}"; do kill -- "-$group" 2>/dev/null || true; done
  [ "$status" = 0 ] || failures; rm -rf "$said" "$kept"' EXIT

processes() {
  node_tests 3 $(files_in test/process resize faults)
}

# Jobs on two hosts, of which the other is a network namespace.
two_hosts() {
  if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
    echo "process: test/hosts skipped: a host of our own needs root on Linux"
    return
  fi
  test/cluster/cluster.sh "$LEPTON_NODE" --test $(reported 600) test/hosts/*.test.ts
}

# Everything on the newest Kubernetes; on the others what is made of APIs that have other versions there. LEPTON_KUBERNETES=1.36: that one alone.
api_server() {
  local minor minors=${LEPTON_KUBERNETES:-1.37 1.36 1.35}
  local parts=(etcd kube-apiserver kube-controller-manager kube-scheduler volcano-crds scheduler-plugins-crds)
  # Before any test: compilers leave no time to others.
  for minor in $minors; do test/cluster/build.sh "$minor" "${parts[@]}" >/dev/null; done
  [[ $minors != *1.37* ]] || test/cluster/build.sh 1.37 kubectl helm promtool prometheus monitoring-crds >/dev/null
  if [ -n "${LEPTON_KUBERNETES:-}" ]; then api_server_on $minors; return; fi
  side_by_side "api_server_on 1.37" "api_server_on 1.36 1.35"
}

# More files at a time than there are processors: control planes wait most of the time.
api_server_on() {
  local minor
  for minor in "$@"; do
    printf '== api-server, Kubernetes %s ==\n' "$minor"
    if [ "$minor" = 1.37 ]; then
      LEPTON_KUBERNETES=$minor node_tests 3 $(files_in test/api-server faults crash-points meddling gang standing waiting)
    else
      LEPTON_KUBERNETES=$minor node_tests 1 test/api-server/{crd,lifecycle,hosting,gang}.test.ts
    fi
  done
}

# A cluster of two nodes in namespaces of its own: Linux, root and Debian's containerd. Beside it `lepton cluster` makes another.
end_to_end() {
  if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
    echo "e2e: skipped: a cluster of our own needs root on Linux"
    return
  fi
  test/cluster/prepare.sh 1.37
  side_by_side two_nodes cluster_command
}

two_nodes() {
  LEPTON_KUBERNETES=1.37 test/cluster/cluster.sh "$LEPTON_NODE" --test $(reported 900) test/e2e/end-to-end.test.ts
}

cluster_command() {
  "$LEPTON_NODE" --test $(reported 900) test/e2e/cluster-command.test.ts
}

mkdir -p build
for level in "${levels[@]}"; do
  started=$SECONDS
  printf '\n== %s ==\n' "$level"
  case "$level" in
    check) scripts/check.sh ;;
    native) ctest_in build/native-tests -DCMAKE_BUILD_TYPE=Release ;;
    sanitize) ctest_in build/native-sanitize -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DLEPTON_SANITIZE=address;undefined" ;;
    unit) node_tests 3 $(files_in test/unit roles/codecs cli/command native/codecs data/large-files crds/agreement golden/golden) ;;
    process) side_by_side processes two_hosts ;;
    examples) node_tests 2 $(files_in test/examples) ;;
    api-server) api_server ;;
    e2e) end_to_end ;;
    *) echo "test: unknown level '$level' (check native sanitize unit process examples api-server e2e)" >&2; exit 2 ;;
  esac
  printf '== %s: %s s ==\n' "$level" "$((SECONDS - started))"
done
