#!/bin/bash
# Builds programs of Kubernetes and etcd from their Go modules, for the tests that use real ones: etcd
# and kube-apiserver, the ones that are named, or with `lab` all that lab.sh needs, with packages of
# Debian and an image of busybox. Some minutes each on two cores, once; FORCE=1 builds again. Needs Go.
#   scripts/kubernetes/build.sh [lab | kube-apiserver etcd kubelet …]
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

install_packages() {
	local wanted=() pair
	for pair in containerd:containerd runc:runc busybox:busybox-static; do
		command -v "${pair%%:*}" >/dev/null || wanted+=("${pair##*:}")
	done
	[ -x /usr/lib/cni/loopback ] || wanted+=(containernetworking-plugins)
	[ ${#wanted[@]} = 0 ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
}

# An image of busybox that does nothing for ever unless it is told what to do, as `docker save` writes it.
build_image() {
	local directory name id
	directory=$(mktemp -d)
	mkdir -p "$directory"/layer/{bin,tmp,etc}
	cp "$(command -v busybox)" "$directory/layer/bin/busybox"
	for name in $(busybox --list); do
		[ "$name" = busybox ] || ln -s busybox "$directory/layer/bin/$name"
	done
	tar -C "$directory/layer" --owner=0 --group=0 -cf "$directory/layer.tar" .
	id=$(sha256sum <"$directory/layer.tar" | cut -d' ' -f1)
	printf '{"architecture":"%s","os":"linux","config":{"Cmd":["/bin/sleep","2147483647"],"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$(go env GOARCH)" "$id" >"$directory/config.json"
	echo '[{"Config":"config.json","RepoTags":["pilus.test/busybox:1"],"Layers":["layer.tar"]}]' >"$directory/manifest.json"
	tar -C "$directory" -cf "$HOME_DIR/busybox.tar" manifest.json config.json layer.tar
	rm -rf "$directory"
}

mkdir -p "$BIN"
case ${1:-} in
"") set -- etcd kube-apiserver ;;
lab)
	set -- etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl
	install_packages
	build_image
	;;
esac
for program; do
	[ -x "$BIN/$program" ] && [ -z "${FORCE:-}" ] && continue
	echo "building $program" >&2
	case $program in
	etcd) (build_etcd) ;;
	*) build_kubernetes "$program" ;;
	esac
done
