#!/usr/bin/env bash
# Makes the file system of an image from a checkout that is set up: C library, Node, the compiled TypeScript, the packages it needs and,
# for workers, the engine. No shell, no compiler, no package manager inside. The Dockerfile runs it; without a Docker engine the
# third argument packs the same tree as an archive that containerd and docker load.
#   scripts/image.sh worker|operator FOLDER [ARCHIVE.tar NAME:TAG]      scripts/image.sh --prepare   only what comes from elsewhere
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
target=${1:?expected worker, operator or --prepare} archive=${3:-} name=${4:-}
case "$target" in
  worker | operator) folder=${2:?expected a folder} ;;
  --prepare) ;;
  *) echo "image: expected worker, operator or --prepare, got $target" >&2; exit 2 ;;
esac

# Libraries of Debian, unpacked once; files that only people read are left out.
base="$LEPTON_CACHE/image-base-1"
if [ ! -d "$base" ]; then
  echo "image: unpacking Debian's C and C++ libraries into $base" >&2
  rm -rf "$base.new"; mkdir -p "$base.new"
  for package in libc6 libgcc-s1 libstdc++6 libgomp1 netbase tzdata; do
    scripts/unpack-debian.sh "$package" "$base.package"
    cp -a "$base.package/." "$base.new/"
    rm -rf "$base.package"
  done
  rm -rf "$base.new/usr/share/doc" "$base.new/usr/share/lintian" "$base.new/usr/share/locale" "$base.new/usr/lib/x86_64-linux-gnu/gconv" \
    "$base.new/usr/share/gdb" "$base.new/usr/share/libc-bin" "$base.new/usr/share/man"
  mv "$base.new" "$base"
fi

# Packages that run: those of the lock file without the development ones.
packages="$LEPTON_CACHE/image-packages-$(cat package.json package-lock.json | sha256sum | cut -c1-16)"
if [ ! -d "$packages" ]; then
  echo "image: installing Node packages into $packages" >&2
  rm -rf "$packages.new"; mkdir -p "$packages.new"
  cp package.json package-lock.json "$packages.new/"
  (cd "$packages.new" && npm install --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  rm -rf "$packages.new/node_modules/node-addon-api" "$packages.new/node_modules/node-api-headers"
  mv "$packages.new" "$packages"
fi

[ "$target" != --prepare ] || exit 0
# Beside the image: several may be made at once.
package="$folder.package"
rm -rf "$package" "$folder"
node_modules/.bin/tsc -p tsconfig.build.json --outDir "$package"
mkdir -p "$folder"
cp -a "$base/." "$folder/"
mkdir -p "$folder/usr/local/bin" "$folder/opt/lepton" "$folder/tmp" "$folder/output" "$folder/etc" "$folder/proc" "$folder/sys" "$folder/dev"
chmod 1777 "$folder/tmp" "$folder/output"
printf 'root:x:0:0:root:/:/none\nlepton:x:65532:65532:lepton:/tmp:/none\n' >"$folder/etc/passwd"
printf 'root:x:0:\nlepton:x:65532:\n' >"$folder/etc/group"
cp "$("$LEPTON_NODE" -p process.execPath)" "$folder/usr/local/bin/node"
cp -a package.json LICENSE "$packages/node_modules" "$folder/opt/lepton/"
rooms=(crds protos operator)
[ "$target" = operator ] || rooms=(crds protos native worker)
for room in "${rooms[@]}"; do cp -a "$package/$room" "$folder/opt/lepton/"; done
rm -rf "$package"
cp -a protos/lepton "$folder/opt/lepton/protos/"
if [ "$target" = worker ]; then
  # Refuses an engine that is not of these sources; in the image there is nothing to tell it by.
  "$LEPTON_NODE" native/engine.ts
  mkdir -p "$folder/opt/lepton/build/native"
  cp build/native/lepton.node "$LEPTON_PREFIX/lib/libdnnl.so.3.2" "$folder/opt/lepton/build/native/"
  ln -s libdnnl.so.3.2 "$folder/opt/lepton/build/native/libdnnl.so.3"
fi

[ -n "$archive" ] || exit 0
: "${name:?expected NAME:TAG}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The same tree gives the same bytes.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --format=gnu -C "$folder" -cf "$work/layer.tar" .
digest=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
cat >"$work/config.json" <<JSON
{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z",
"config":{"User":"65532:65532","WorkingDir":"/","Env":["PATH=/usr/local/bin","NODE_ENV=production","HOME=/tmp"],
"Entrypoint":["/usr/local/bin/node","/opt/lepton/$target/main.js"]},
"rootfs":{"type":"layers","diff_ids":["sha256:$digest"]}}
JSON
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]\n' "$name" >"$work/manifest.json"
tar -C "$work" -cf "$archive" config.json manifest.json layer.tar
