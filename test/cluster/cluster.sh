#!/usr/bin/env bash
# Runs a command in a network, mount and process namespace of its own: whatever it starts, mounts or connects there is gone when it
# ends, however it ends. Ctrl-C, SIGTERM and kill -9 of this script end it.   test/cluster/cluster.sh COMMAND...
set -euo pipefail
unshare --net --mount --pid --fork --kill-child=KILL --mount-proc --propagation private -- bash -c '
  mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns
  ip link set lo up
  "$@" & wait $!' bash "$@" &
inside=$!
trap 'kill -KILL $inside 2>/dev/null || true' INT TERM EXIT
wait $inside
