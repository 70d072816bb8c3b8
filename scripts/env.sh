# Sourced by the other scripts: where things are. Sets ROOT, BUILD_CACHE, PATH and Deno's settings.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export BUILD_CACHE=${BUILD_CACHE:-$HOME/.cache/pilus}
export PATH="$BUILD_CACHE/bin:$PATH"
export DENO_TLS_CA_STORE=${DENO_TLS_CA_STORE:-system,mozilla}
export DENO_NO_UPDATE_CHECK=1
DENO_VERSION=2.4.2
ESBUILD_VERSION=0.25.9
CNITOOL_VERSION=v1.3.1
