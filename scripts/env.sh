# shellcheck shell=bash disable=SC2034
# Sourced by the other scripts: where things are. Sets ROOT, BUILD_CACHE, PATH and Deno's settings.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export BUILD_CACHE=${BUILD_CACHE:-$HOME/.cache/pilus}
export DENO_TLS_CA_STORE=${DENO_TLS_CA_STORE:-system,mozilla}
export DENO_NO_UPDATE_CHECK=1
# The newest, for development, and for the program where its denort can be had.
DENO_VERSION=2.9.6
# The oldest that types and tests pass on; the program's where the newest denort cannot be had.
OLDEST_DENO_VERSION=2.4.2
ESBUILD_VERSION=0.25.9
CNITOOL_VERSION=v1.3.1
export PATH="$BUILD_CACHE/deno-$DENO_VERSION:$BUILD_CACHE/bin:$PATH"
