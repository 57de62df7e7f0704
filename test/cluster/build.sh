#!/usr/bin/env bash
# Builds the parts of a Kubernetes control plane from Go modules, once, into the cache, and prints the folder they are in.
#   test/cluster/build.sh 1.37 kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl etcd
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/environment.sh

declare -A KUBERNETES=([1.35]=1.35.4 [1.36]=1.36.3 [1.37]=1.37.2)
ETCD=3.7.3

minor=${1:?expected a Kubernetes minor: ${!KUBERNETES[*]}}
shift
version=${KUBERNETES[$minor]:?expected one of ${!KUBERNETES[*]}, got $minor}
place="$LEPTON_CACHE/kubernetes-$version"
mkdir -p "$place"
export CGO_ENABLED=0 GOFLAGS=-mod=mod GOTOOLCHAIN=local GOWORK=off
say() { printf 'cluster: %s\n' "$*" >&2; }

# A module that requires Kubernetes: `go install` refuses its replace directives, so they are repeated here.
kubernetes_module() {
  local folder="$place/module"
  if [ -e "$folder/go.sum" ]; then return; fi
  rm -rf "$folder"; mkdir -p "$folder"
  (cd "$folder"
    go mod init lepton.ai/kubernetes >/dev/null 2>&1
    local source
    source=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/^\t"GoMod": "\(.*\)",*$/\1/p')
    go mod edit -require="k8s.io/kubernetes@v$version"
    sed -n 's#^\t\(k8s.io/[^ ]*\) => \./staging/.*#\1#p' "$source" | while read -r staging; do
      go mod edit -replace="$staging=$staging@v0.${version#1.}"
    done
    printf 'package kubernetes\n' >empty.go
    go get "k8s.io/kubernetes@v$version" >/dev/null 2>&1)
}

build_kubernetes() {
  local name=$1
  local flags="-s -w -X k8s.io/component-base/version.gitVersion=v$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$minor"
  flags=${flags/gitMinor=1./gitMinor=}
  kubernetes_module
  (cd "$place/module" && go build -trimpath -ldflags "$flags" -o "$place/$name.new" "k8s.io/kubernetes/cmd/$name")
}

build_etcd() {
  local folder="$place/etcd-module"
  rm -rf "$folder"; mkdir -p "$folder"
  (cd "$folder"
    go mod init lepton.ai/etcd >/dev/null 2>&1
    printf 'package etcd\n' >empty.go
    go get "go.etcd.io/etcd/server/v3@v$ETCD" >/dev/null 2>&1
    go build -trimpath -o "$place/etcd.new" go.etcd.io/etcd/server/v3)
}

for name in "$@"; do
  [ -x "$place/$name" ] && continue
  say "building $name for Kubernetes $version (minutes the first time)"
  if [ "$name" = etcd ]; then build_etcd; else build_kubernetes "$name"; fi
  mv "$place/$name.new" "$place/$name"
done
echo "$place"
