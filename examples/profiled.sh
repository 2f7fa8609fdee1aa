#!/usr/bin/env bash
# Builds the proxy by a profile of itself at work, which makes a request cost less: its code is laid out by what a request
# runs through. Two builds, with about a minute of traffic on this machine between them. The result is
#
#     target/profiled/mesh-proxy
#
# It wants h2load (Debian: nghttp2-client), openssl, and the llvm-profdata of rustc's own version of LLVM (rustup
# component add llvm-tools, or Debian's llvm-<version>). LLVM_PROFDATA names another one; PORT the first of six ports.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
out=$target/profiled
host=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
port=${PORT:-18440}

fail() {
  printf 'profiled.sh: %s\n' "$*" >&2
  exit 1
}

profdata() {
  local found
  for found in "${LLVM_PROFDATA:-}" "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata" \
    "$(command -v "llvm-profdata-$llvm" || true)" "/usr/lib/llvm-$llvm/bin/llvm-profdata"; do
    if [ -x "$found" ]; then
      printf '%s' "$found"
      return
    fi
  done
  fail "no llvm-profdata of LLVM $llvm, which this rustc is made with: rustup component add llvm-tools, or install llvm-$llvm"
}

# build FLAGS PACKAGES...: an optimized build of its own, since the flags concern every crate.
build() {
  local flags=$1
  shift
  # The host is named, so that what runs while it builds, as procedural macros do, is built without the flags.
  RUSTFLAGS="${RUSTFLAGS:-} $flags" cargo build --release --target "$host" --target-dir "$out/build" "$@"
}

pids=() work=
trap 'kill -TERM "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$work"' EXIT

# Each program writes its counts when it ends, so it has to end well.
end() {
  local pid
  kill -TERM "${pids[@]}" || fail "a program ended before its time; what it said is above"
  for pid in "${pids[@]}"; do
    wait "$pid" || fail "a program ended badly; what it said is above"
  done
  pids=()
}

# proxy NAME LISTENER SERVICE: one more proxy, which shares the CA with the others.
proxy() {
  cat >"$work/$1.yaml" <<YAML
serviceMesh:
  namespace: training
  trustDomain: training.local
  identity: { service: $1 }
  metrics: { bind: "127.0.0.1:0" }
  admin: { bind: "127.0.0.1:0" }
  mutualTLS: { enabled: true, authority: { local: {} }, stateDir: "$work/ca" }
  listeners: [ $2 ]
  services: [ $3 ]
  trafficManagement:
    rules:
      - { id: closed, name: Closed, priority: 200, enabled: true, respond: { status: 403 },
          conditions: [ { type: path, operator: prefix, value: /closed } ] }
      - { id: v2, name: V2, priority: 100, enabled: true, destinations: [ { service: orders, weight: 100 } ],
          conditions: [ { type: header, field: api-version, operator: equals, value: v2 } ] }
YAML
  RUST_LOG=error "$bin/mesh-proxy" run --config "$work/$1.yaml" &
  pids+=($!)
}

# reachable PORT: once the program that was started last listens there; it is not to be taken for another one.
reachable() {
  for _ in $(seq 300); do
    kill -0 "${pids[-1]}" 2>/dev/null || fail "what was to listen on 127.0.0.1:$1 has ended; what it said is above"
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  fail "nothing listens on 127.0.0.1:$1; what its program said is above"
}

# load PORT ARGUMENTS...: requests that must all succeed.
load() {
  local at=$1 said
  shift
  said=$(h2load "$@" -H 'x-caller: training' -H 'accept: */*' "http://127.0.0.1:$at/")
  grep -q ' 0 failed, 0 errored, 0 timeout' <<<"$said" || fail "requests failed: $said"
}

# Two proxies in front of applications that do not know of the mesh, one of them speaking HTTP/1.1 to the third, the other
# HTTP/2; the third takes mutual TLS only and has the service beside it. So each runs through both sides of what proxies do.
train() {
  local n=${REQUESTS:-20000} orders='name: orders, port: 1, hosts: ["*"], timeout: 15s'
  local at
  for at in "$port" $((port + 1)); do
    "$bin/sample-service" --listen "127.0.0.1:$at" &
    pids+=($!)
    reachable "$at"
  done
  proxy orders "{ name: inbound, bind: '127.0.0.1:$((port + 2))', tls: strict }" \
    "{ $orders, endpoints: ['127.0.0.1:$port', '127.0.0.1:$((port + 1))'] }"
  reachable $((port + 2))
  for protocol in http1 http2; do
    at=$((port + 3))
    [ $protocol = http1 ] || at=$((port + 4))
    proxy "$protocol" "{ name: outbound, bind: '127.0.0.1:$at', direction: outbound, tls: 'off' }" \
      "{ $orders, endpoints: ['127.0.0.1:$((port + 2))'], protocol: $protocol, enableMutualTLS: true }"
    reachable $at
    load $at --h1 -n "$n" -c 32
    load $at -n "$n" -c 8 -m 8
  done
  # Plaintext on both sides, and handshakes.
  proxy plain "{ name: inbound, bind: '127.0.0.1:$((port + 5))', tls: 'off' }" \
    "{ $orders, endpoints: ['127.0.0.1:$port', '127.0.0.1:$((port + 1))'] }"
  reachable $((port + 5))
  load $((port + 5)) --h1 -n "$n" -c 32
  "$bin/mesh-proxy" cert issue --service caller --namespace training --state-dir "$work/ca" --out "$work/caller" >/dev/null
  openssl s_time -connect "127.0.0.1:$((port + 2))" -new -time "${HANDSHAKES:-5}" -tls1_3 \
    -cert "$work/caller/cert.pem" -key "$work/caller/key.pem" -CAfile "$work/caller/ca.pem" >/dev/null
  end
}

merge=$(profdata)
for program in h2load openssl; do
  command -v $program >/dev/null || fail "$program is not installed"
done
mkdir -p "$out"
raw=$out/raw bin=$out/build/$host/release

build "-Cprofile-generate=$raw" -p mesh-proxy -p sample-service
# Of this run alone.
rm -rf "$raw"
work=$(mktemp -d)
train
rm -rf "$work"
"$merge" merge -o "$out/proxy.profdata" "$raw"

# Functions that no traffic reached have no profile, which is as it should be.
build "-Cprofile-use=$out/proxy.profdata -Cllvm-args=-pgo-warn-missing-function=false" -p mesh-proxy
cp "$bin/mesh-proxy" "$out/mesh-proxy"
printf 'built: %s\n' "$out/mesh-proxy"
