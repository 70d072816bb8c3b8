#!/bin/bash
# Builds the hubble CLI of Cilium from its Go module, for the tests that use the real one: a minute or
# two on two cores, once; FORCE=1 builds again. Needs Go.
set -euo pipefail
. "$(dirname "$0")/../env.sh"

CILIUM_VERSION=v1.18.4
HOME_DIR=$BUILD_CACHE/hubble
export CGO_ENABLED=0

if [ -n "${FORCE:-}" ] || [ "$(cat "$HOME_DIR/.version" 2>/dev/null)" != $CILIUM_VERSION ]; then
	mkdir -p "$HOME_DIR/source"
	cd "$HOME_DIR/source"
	printf 'module pilus.test/hubble\n\ngo 1.24.0\n\nrequire github.com/cilium/cilium %s\n\ntool github.com/cilium/cilium/hubble\n\n' $CILIUM_VERSION >go.mod
	# Cilium's own replacements, which count in its module alone
	sed -n 's/^replace /replace /p' "$(go mod download -json "github.com/cilium/cilium@$CILIUM_VERSION" |
		sed -n 's/.*"GoMod": "\(.*\)",/\1/p')" >>go.mod
	go mod tidy
	go build -trimpath -ldflags "-s -w -X github.com/cilium/cilium/hubble/pkg.Version=$CILIUM_VERSION" \
		-o "$HOME_DIR/hubble" github.com/cilium/cilium/hubble
	echo $CILIUM_VERSION >"$HOME_DIR/.version"
fi
echo "$HOME_DIR/hubble"
