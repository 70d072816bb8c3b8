#!/bin/bash
# Runs the tests that need a kernel under Debian's other kernels: test_kernels.sh [6.12] [6.1]
# TESTS chooses the files. The last line counts, as that of test.sh.
set -uo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT" || exit 1
"$ROOT/scripts/setup.sh" && "$ROOT/scripts/build.sh" || exit 1
TESTS=${TESTS:-datapath/bpf/*_test.ts datapath/bpf/link datapath/loader_test.ts datapath/stale_links_test.ts datapath/programs_test.ts datapath/security_test.ts datapath/source_test.ts datapath/tunnel_test.ts datapath/balancer_test.ts datapath/socket_test.ts datapath/xdp_device_test.ts datapath/sockmap_test.ts datapath/bandwidth_test.ts datapath/pacing_test.ts}
[ $# -gt 0 ] || set -- 6.12 6.1
passed=0 failed=0 skipped=0
count() { grep -oE "[0-9]+ $2" <<<"$1" | head -1 | cut -d' ' -f1 | grep . || echo 0; }

for series in "$@"; do
	echo "== Linux $series"
	log=$(mktemp)
	# shellcheck disable=SC2086
	NO_COLOR=1 VM_TIMEOUT=${VM_TIMEOUT:-1200} VM_ENV="NO_COLOR PATH HOME DENO_NO_UPDATE_CHECK BUILD_CACHE" \
		"$ROOT/scripts/kernel_vm/run.sh" "$series" \
		deno test --frozen --cached-only -A --no-check $TESTS 2>&1 | tee "$log"
	status=${PIPESTATUS[0]}
	summary=$(grep -E '^(ok|FAILED) \| [0-9]+ passed' "$log" | tail -1)
	passed=$((passed + $(count "$summary" passed)))
	failed=$((failed + $(count "$summary" failed)))
	skipped=$((skipped + $(count "$summary" ignored)))
	if [ "$status" != 0 ] && [ "$(count "$summary" failed)" = 0 ]; then failed=$((failed + 1)); fi
	rm -f "$log"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
