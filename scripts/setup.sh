#!/bin/sh
# Makes a fresh clone on a fresh machine ready: npm packages (with the project's own Node) and, unless --quick is given,
# the Debian packages that kernel and cluster tests use. Idempotent and quick the second time; a step that fails says
# which it was and why.
set -eu
cd "$(dirname "$0")/.."

fail() {
  echo "setup: $1" >&2
  exit 1
}

step() {
  echo "setup: $1" >&2
}

# The lock file's own hash tells whether node_modules was installed from it.
lock=$(sha256sum package-lock.json | cut -d' ' -f1)
stamp=node_modules/.installed-from
if [ ! -x node_modules/.bin/node ] || [ "$(cat "$stamp" 2>/dev/null)" != "$lock" ]; then
  command -v npm >/dev/null || fail "npm is missing; install Node.js with npm (any version still able to run npm ci)"
  step "installing npm packages"
  npm ci --no-audit --no-fund >&2 || fail "npm ci failed, see above"
  [ -x node_modules/.bin/node ] || fail "the npm package 'node' brought no binary; are install scripts switched off?"
  echo "$lock" > "$stamp"
fi

[ "${1:-}" = --quick ] && exit 0

# command:package, one a line
needed='nft:nftables
ip:iproute2
conntrack:conntrack
arping:iputils-arping
tcpdump:tcpdump
sysctl:procps
iptables:iptables
runc:runc
/usr/lib/cni/bridge:containernetworking-plugins
busybox:busybox-static
faketime:faketime
buildah:buildah
mmdebstrap:mmdebstrap
openssl:openssl
gcc:gcc'
missing=$(echo "$needed" | while IFS=: read -r command package; do
  command -v "$command" >/dev/null || echo "$package"
done)
if [ -n "$missing" ]; then
  [ "$(id -u)" = 0 ] || fail "run as root, or install first: $(echo $missing)"
  command -v apt-get >/dev/null || fail "this is no Debian; install by hand: $(echo $missing)"
  step "installing Debian packages: $(echo $missing)"
  apt-get update -qq >&2 || fail "apt-get update failed, see above"
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2 ||
    fail "apt-get install failed, see above"
fi

# Debian's Go is older than Kubernetes wants, so it is not installed here; only the cluster's tests build with it.
command -v go >/dev/null || step "note: 'go' is missing; npm run cluster and the cluster tests need it (see go.mod in test/cluster/toolchain)"
