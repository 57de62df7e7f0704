#!/usr/bin/env bash
# Gets and builds all that a whole test cluster needs, once: Debian's containerd, the Kubernetes programs, what the images are made of.
# Inside cluster.sh there is no network.   test/cluster/prepare.sh MINOR
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/environment.sh
minor=${1:?expected a Kubernetes minor}

missing=()
for pair in containerd:containerd runc:runc ip:iproute2 busybox:busybox-static ctr:containerd; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair#*:}")
done
[ -e /usr/lib/cni/bridge ] || missing+=(containernetworking-plugins)
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null 2>&1 || { echo "cluster: this machine lacks Debian's packages ${missing[*]}" >&2; exit 1; }
  echo "cluster: installing Debian's packages ${missing[*]}" >&2
  mkdir -p build
  install=(apt-get install -y -q --no-install-recommends "${missing[@]}")
  "${install[@]}" >build/apt.log 2>&1 || { apt-get update -q >>build/apt.log 2>&1 && "${install[@]}" >>build/apt.log 2>&1; } ||
    { tail -n 5 build/apt.log >&2; exit 1; }
fi
test/cluster/build.sh "$minor" etcd kube-apiserver kube-controller-manager kube-scheduler kubectl kubelet coredns helm >/dev/null
scripts/image.sh --prepare
scripts/datasets.sh >/dev/null
