# Where things are: sourced by the other scripts. LEPTON_CACHE holds downloads that outlive a checkout.
export LEPTON_CACHE="${LEPTON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lepton}"
LEPTON_PREFIX="$LEPTON_CACHE/native-$(sha256sum scripts/requirements.txt scripts/wheels.py | sha256sum | cut -c1-16)"
LEPTON_NINJA="$LEPTON_PREFIX/bin/ninja"
LEPTON_NODE="$PWD/node_modules/.bin/node"
