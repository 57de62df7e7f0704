#!/usr/bin/env bash
# Builds the parts of a Kubernetes control plane from Go modules, once, into the cache, and prints the folder they are in.
#   test/cluster/build.sh 1.37 kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl etcd
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/environment.sh

declare -A KUBERNETES=([1.35]=1.35.4 [1.36]=1.36.3 [1.37]=1.37.2)

minor=${1:?expected a Kubernetes minor: ${!KUBERNETES[*]}}
shift
version=${KUBERNETES[$minor]:?expected one of ${!KUBERNETES[*]}, got $minor}
place="$LEPTON_CACHE/kubernetes-$version"
# Nobody waits for somebody else's build of something else.
complete=yes
for name in "$@"; do [ -e "$place/$name" ] || complete=; done
if [ -n "$complete" ]; then echo "$place"; exit; fi
command -v go >/dev/null 2>&1 || { echo "cluster: this machine lacks Go 1.26 or newer, which builds the test cluster" >&2; exit 1; }
mkdir -p "$place"
# Several tests may ask at once.
exec 9>"$LEPTON_CACHE/build.lock"
flock 9
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

# Programs with modules of their own: name -> module@version package. They do not depend on the Kubernetes minor.
declare -A MODULE=(
  [etcd]="go.etcd.io/etcd/server/v3@v3.7.3 go.etcd.io/etcd/server/v3"
  [helm]="helm.sh/helm/v4@v4.3.1 helm.sh/helm/v4/cmd/helm"
  [coredns]="github.com/coredns/coredns@v1.15.0 github.com/coredns/coredns"
  [kwok]="sigs.k8s.io/kwok@v0.8.0 sigs.k8s.io/kwok/cmd/kwok"
  [promtool]="github.com/prometheus/prometheus@v0.316.0 github.com/prometheus/prometheus/cmd/promtool"
  [prometheus]="github.com/prometheus/prometheus@v0.316.0 github.com/prometheus/prometheus/cmd/prometheus"
)

# Replace directives of the module itself are repeated, as above.
build_module() {
  local name=$1 module package folder="$LEPTON_CACHE/go/$1-module"
  read -r module package <<<"${MODULE[$name]}"
  rm -rf "$folder"; mkdir -p "$folder"
  (cd "$folder"
    go mod init "lepton.ai/$name" >/dev/null 2>&1
    printf 'package empty\n' >empty.go
    local source
    source=$(go mod download -json "$module" | sed -n 's/^\t"GoMod": "\(.*\)",*$/\1/p')
    go mod edit -json "$source" | python3 -c 'import json, sys
for r in json.load(sys.stdin).get("Replace") or []:
    if "Version" in r["New"]: print(r["Old"]["Path"] + "=" + r["New"]["Path"] + "@" + r["New"]["Version"])' |
      while read -r replacement; do go mod edit -replace="$replacement"; done
    go get "$module" >/dev/null 2>&1
    go build -trimpath -ldflags "-s -w" -o "$LEPTON_CACHE/go/$name.new" "$package")
  # What kwok's kubelets do comes with its sources.
  if [ "$name" = kwok ]; then
    local stages
    stages=$(go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')/kustomize/stage
    for stage in pod/fast/pod-ready pod/fast/pod-delete node/fast/node-initialize; do
      printf -- '---\n'; cat "$stages/$stage.yaml"
    done >"$LEPTON_CACHE/go/kwok-stages.yaml"
  fi
  mv "$LEPTON_CACHE/go/$name.new" "$LEPTON_CACHE/go/$name"
}

# Not a program: the definitions of ServiceMonitor and PrometheusRule, by their makers.
monitoring_crds() {
  local source folder="$LEPTON_CACHE/go/monitoring-crds"
  source=$(go mod download -json github.com/prometheus-operator/prometheus-operator@v0.85.0 | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
  mkdir -p "$folder.new"
  for kind in servicemonitors prometheusrules; do
    cp "$source/example/prometheus-operator-crd/monitoring.coreos.com_$kind.yaml" "$folder.new/$kind.yaml"
  done
  chmod -R u+w "$folder.new"; rm -rf "$folder"; mv "$folder.new" "$folder"
  ln -sfn "$folder" "$place/monitoring-crds"
}

# CRDs of gang schedulers, from their own modules: scheduler-plugins has them as a file; Volcano has their Go types, of which the
# generator that its makers use makes the same.
build_crds() {
  local folder="$LEPTON_CACHE/go/$1-module"
  rm -rf "$folder"; mkdir -p "$folder"
  case "$1" in
    scheduler-plugins-crds)
      local source
      source=$(cd "$folder" && go mod download -json sigs.k8s.io/scheduler-plugins@v0.33.5 | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
      cat "$source/config/crd/bases/scheduling.x-k8s.io_podgroups.yaml" >"$LEPTON_CACHE/go/$1.new"
      ;;
    volcano-crds)
      (cd "$folder"
        go mod init lepton.ai/volcano-crds >/dev/null 2>&1
        printf 'package crds\n\nimport _ "volcano.sh/apis/pkg/apis/scheduling/v1beta1"\n' >crds.go
        # The last version of the generator that does not need gengo.
        go get sigs.k8s.io/controller-tools@v0.16.5 volcano.sh/apis@v1.13.0 golang.org/x/tools@v0.33.0 >get.log 2>&1 ||
          { tail -n 5 get.log >&2; exit 1; }
        go run sigs.k8s.io/controller-tools/cmd/controller-gen crd \
          paths=volcano.sh/apis/pkg/apis/scheduling/v1beta1 output:crd:dir=out)
      cat "$folder/out/scheduling.volcano.sh_podgroups.yaml" >"$LEPTON_CACHE/go/$1.new"
      ;;
  esac
  mv "$LEPTON_CACHE/go/$1.new" "$LEPTON_CACHE/go/$1"
}

for name in "$@"; do
  [ -e "$place/$name" ] && continue
  if [ "$name" = monitoring-crds ]; then
    monitoring_crds
  elif [[ "$name" == *-crds ]]; then
    if [ ! -e "$LEPTON_CACHE/go/$name" ]; then
      say "fetching $name (a minute the first time)"
      mkdir -p "$LEPTON_CACHE/go"
      build_crds "$name"
    fi
    ln -sf "$LEPTON_CACHE/go/$name" "$place/$name"
  elif [ -n "${MODULE[$name]:-}" ]; then
    if [ ! -x "$LEPTON_CACHE/go/$name" ]; then
      say "building $name (minutes the first time)"
      mkdir -p "$LEPTON_CACHE/go"
      build_module "$name"
    fi
    ln -sf "$LEPTON_CACHE/go/$name" "$place/$name"
  else
    say "building $name for Kubernetes $version (minutes the first time)"
    build_kubernetes "$name"
    mv "$place/$name.new" "$place/$name"
  fi
done
echo "$place"
