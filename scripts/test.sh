#!/bin/bash
# Sets up, builds, checks and runs all tests with the newest Deno, unit tests with the oldest too.
# Packets of the programs are the kernel's affair, whatever Deno: of their tests one file runs with
# the oldest. Arguments choose test files, for the newest. The last line counts.
set -uo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT" || exit 1
export NO_COLOR=1
passed=0 failed=0 skipped=0

# Each check is one test: its output is shown when it fails.
check() { # name command...
	local name=$1 output
	shift
	if output=$("$@" 2>&1); then
		passed=$((passed + 1))
		echo "$name ... ok"
	else
		failed=$((failed + 1))
		printf '%s\n%s ... FAILED\n' "$output" "$name"
	fi
}

# Runs Deno's tests; what they print goes to the log, too.
run_tests() { # log deno path...
	echo "== $("$2" --version | head -1)"
	"$2" test --frozen -A --no-check "${@:3}" 2>&1 | tee "$1"
	return "${PIPESTATUS[0]}"
}

# Adds what the summary of a log says: "ok | 1 passed (2 steps) | 0 failed | 3 ignored".
count_tests() { # status log
	local status=$1 log=$2 summary
	summary=$(grep -E '^(ok|FAILED) \| [0-9]+ passed' "$log" | tail -1)
	passed=$((passed + $(count "$summary" passed)))
	failed=$((failed + $(count "$summary" failed)))
	skipped=$((skipped + $(count "$summary" ignored)))
	# a run that broke without counting a failure (a file that does not load) is one
	if [ "$status" != 0 ] && [ "$(count "$summary" failed)" = 0 ]; then failed=$((failed + 1)); fi
	rm -f "$log"
}

count() { # summary word
	local number
	number=$(grep -oE "[0-9]+ $2" <<<"$1" | head -1 | cut -d' ' -f1)
	echo "${number:-0}"
}

# shellcheck disable=SC2317 # check calls it
all_were_run() { # log folder...
	diff <(git ls-files "${@:2}" | grep '_test\.ts$' | sort) \
		<(grep -oP '^running \d+ tests? from \./\K.*' "$1" | sort)
}

finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
	exit
}

check setup scripts/setup.sh
check build scripts/build.sh
[ "$failed" = 0 ] || finish
if [ $# -gt 0 ]; then
	log=$(mktemp)
	run_tests "$log" deno "$@"
	count_tests $? "$log"
else
	oldest=$BUILD_CACHE/deno-$OLDEST_DENO_VERSION/deno
	check format deno fmt --check
	check lint deno lint
	check types deno check .
	check "types, Deno $OLDEST_DENO_VERSION" "$oldest" check .
	check documentation deno task doc-lint
	check clang-format deno task clang-format
	check shellcheck deno task shellcheck
	# both Denos beside each other, as there are two cores; what needs a quiet machine comes alone
	logs=$(mktemp -d)
	mapfile -t others < <(grep -L testdata/node.ts datapath/*_test.ts)
	# by folder: of one with a package in it the newest runs the package's alone
	units=(agent cli datapath/*_test.ts datapath/*/)
	run_tests "$logs/oldest" "$oldest" agent cli "${others[@]}" datapath/programs_test.ts datapath/*/ \
		>"$logs/shown" &
	run_tests "$logs/newest" deno "${units[@]}"
	status=$?
	check "every unit test file was run" all_were_run "$logs/newest" agent cli datapath
	count_tests $status "$logs/newest"
	wait $!
	status=$?
	cat "$logs/shown"
	count_tests $status "$logs/oldest"
	run_tests "$logs/rest" deno tests scripts
	count_tests $? "$logs/rest"
	rm -rf "$logs"
fi
finish
