#!/bin/bash
# Compiles bpf/ and dist/pilus; what did not change is not built again.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
exec deno run --quiet --frozen -A scripts/build.ts
