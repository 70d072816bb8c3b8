#!/bin/bash
# Sets up, builds and runs the demo. Arguments go to it: ./scripts/run.sh --keep
set -euo pipefail
. "$(dirname "$0")/env.sh"
"$ROOT/scripts/setup.sh"
"$ROOT/scripts/build.sh"
exec "$ROOT/dist/pilus" demo "$@"
