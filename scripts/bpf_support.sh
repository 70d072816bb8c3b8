#!/bin/bash
# Tries what datapath/bpf does on Debian's kernels 6.1 and 6.12 and on this one: datapath/bpf/SUPPORT.md.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NO_COLOR=1
trial="mount -t tracefs tracefs /sys/kernel/tracing
exec deno run --cached-only -A --no-check datapath/bpf/testdata/support.ts"
for series in 6.1 6.12; do
	VM_TIMEOUT=1200 VM_ENV="NO_COLOR PATH HOME DENO_NO_UPDATE_CHECK BUILD_CACHE" \
		scripts/kernel_vm/run.sh "$series" sh -c "$trial" >"$work/$series"
done
unshare --mount sh -c "$trial" >"$work/this"
deno run -A --no-check datapath/bpf/testdata/support.ts "$work/6.1" "$work/6.12" "$work/this" >"$work/table"
mv "$work/table" datapath/bpf/SUPPORT.md
deno fmt --quiet datapath/bpf/SUPPORT.md
