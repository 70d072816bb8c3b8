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
	printf 'module pilus.test/hubble\n\ngo 1.24.0\n\nrequire github.com/cilium/cilium %s\n\ntool github.com/cilium/cilium/hubble\n' $CILIUM_VERSION >go.mod
	# not with Cilium's replacement of k8s.io/apimachinery, which the proxy does not have: the CLI needs none of it
	go mod tidy
	go build -trimpath -ldflags "-s -w -X github.com/cilium/cilium/hubble/pkg.Version=$CILIUM_VERSION" \
		-o "$HOME_DIR/hubble" github.com/cilium/cilium/hubble
	echo $CILIUM_VERSION >"$HOME_DIR/.version"
fi
echo "$HOME_DIR/hubble"
