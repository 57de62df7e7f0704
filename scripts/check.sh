#!/usr/bin/env bash
# Everything that can be said about the code without running it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
step() { printf 'check: %s\n' "$1"; shift; "$@"; }
cpp_files() { git ls-files --cached --others --exclude-standard -- 'native/*.h' 'native/*.cc'; }

step "format and lint (Biome)" node_modules/.bin/biome check --error-on-warnings --reporter=summary .
step "format of C++ (clang-format)" bash -c "cpp=\$(git ls-files --cached --others --exclude-standard -- 'native/*.h' 'native/*.cc'); '$LEPTON_PREFIX/bin/clang-format' --dry-run -Werror \$cpp"
step "types (tsc)" node_modules/.bin/tsc --noEmit -p .
step "dead code (knip)" node_modules/.bin/knip
step "arrows between rooms" "$LEPTON_NODE" --test --test-reporter=dot test/unit/house/arrows.test.ts
step "generated files are fresh" "$LEPTON_NODE" crds/generate.ts --check
step "values schema and rendering of the chart are fresh" "$LEPTON_NODE" charts/generate.ts --check
