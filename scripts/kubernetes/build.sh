#!/bin/bash
# Builds programs of Kubernetes and etcd from their Go modules, for the tests that use real ones: those
# of the control plane alone, or the ones that are named. Some minutes each on two cores, once; FORCE=1
# builds again. Needs Go.
#   scripts/kubernetes/build.sh [kube-apiserver etcd kubelet …]
set -euo pipefail
. "$(dirname "$0")/../env.sh"

KUBERNETES_VERSION=1.34.4
ETCD_VERSION=v3.6.16
HOME_DIR=$BUILD_CACHE/kubernetes
BIN=$HOME_DIR/bin
export CGO_ENABLED=0

# A module whose tools are Kubernetes' programs, with its own staging modules in their published form.
write_module() { # directory
	local sources module
	sources=$(go mod download -json "k8s.io/kubernetes@v$KUBERNETES_VERSION" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
	{
		printf 'module pilus.test/kubernetes\n\ngo 1.25.0\n\nrequire k8s.io/kubernetes v%s\n\ntool (\n' "$KUBERNETES_VERSION"
		for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl; do
			printf '\tk8s.io/kubernetes/cmd/%s\n' "$program"
		done
		printf ')\n\nreplace (\n'
		sed -n 's#^\t\(k8s.io/[a-z-]*\) => ./staging.*#\1#p' "$sources/go.mod" | while read -r module; do
			printf '\t%s => %s v0.%s\n' "$module" "$module" "${KUBERNETES_VERSION#1.}"
		done
		printf ')\n'
	} >"$1/go.mod"
	(cd "$1" && go mod tidy)
}

build_kubernetes() { # program
	local directory=$HOME_DIR/source/kubernetes flags="-s -w" package
	mkdir -p "$directory"
	[ -e "$directory/go.sum" ] || write_module "$directory"
	# without these the API server calls itself v0.0.0 and lacks what a version has
	for package in component-base/version client-go/pkg/version; do
		flags+=" -X k8s.io/$package.gitVersion=v$KUBERNETES_VERSION -X k8s.io/$package.gitTreeState=clean"
		flags+=" -X k8s.io/$package.gitMajor=1 -X k8s.io/$package.gitMinor=34"
	done
	(cd "$directory" && go build -trimpath -ldflags "$flags" -o "$BIN/$1" "k8s.io/kubernetes/cmd/$1")
}

build_etcd() {
	local directory=$HOME_DIR/source/etcd
	mkdir -p "$directory"
	cd "$directory"
	[ -e go.mod ] || go mod init pilus.test/etcd
	go get -tool "go.etcd.io/etcd/server/v3@$ETCD_VERSION"
	go build -trimpath -ldflags "-s -w" -o "$BIN/etcd" go.etcd.io/etcd/server/v3
}

mkdir -p "$BIN"
[ $# -gt 0 ] || set -- etcd kube-apiserver
for program; do
	[ -x "$BIN/$program" ] && [ -z "${FORCE:-}" ] && continue
	echo "building $program" >&2
	case $program in
	etcd) (build_etcd) ;;
	*) build_kubernetes "$program" ;;
	esac
done
