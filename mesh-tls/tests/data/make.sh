#!/usr/bin/env bash
# Makes the certificates and revocation lists of this directory anew; their keys are thrown away.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ec() { openssl ecparam -genkey -noout -name "${2:-prime256v1}" -out "$work/$1.key"; }
cat >"$work/leaf.ext" <<'EXT'
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = URI:spiffe://cluster.local/ns/dept-barc/sa/orders
EXT
cat >"$work/ca.cnf" <<CNF
[ req ]
distinguished_name = dn
[ dn ]
[ root ]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[ ca ]
database = $work/index.txt
default_crl_days = 36500
default_md = sha256
[ plain ]
authorityKeyIdentifier = keyid
[ numbered ]
2.5.29.20 = DER:02:01:05
[ critical ]
2.5.29.20 = critical, DER:02:01:05
[ delta ]
2.5.29.20 = DER:02:01:05
2.5.29.27 = critical, DER:02:01:04
CNF
: >"$work/index.txt"

root() { # name, key
  openssl req -x509 -new -key "$work/$2.key" -subj "/CN=$1" -days 36500 -config "$work/ca.cnf" -extensions root \
    -set_serial 1 -out "$1.pem" "${@:3}"
}
leaf() { # name, key, options of openssl x509
  openssl req -new -key "$work/$2.key" -subj /CN=orders -config "$work/ca.cnf" |
    openssl x509 -req -CA root.pem -CAkey "$work/root.key" -days 36500 -out "$1.pem" "${@:3}" 2>/dev/null
}
list() { # name, extensions, options of openssl ca
  openssl ca -gencrl -config "$work/ca.cnf" -name ca -cert root.pem -keyfile "$work/root.key" -crlexts "$2" \
    -out "$1.pem" "${@:3}" 2>/dev/null
}

ec root
root root root
ec leaf
leaf good leaf -set_serial 7 -extfile "$work/leaf.ext"
leaf version-1 leaf -set_serial 7
leaf negative-serial leaf -set_serial -7 -extfile "$work/leaf.ext"
leaf sha1 leaf -set_serial 7 -sha1 -extfile "$work/leaf.ext"

ec p192 prime192v1
leaf p192 p192 -set_serial 7 -extfile "$work/leaf.ext"
openssl genrsa -out "$work/rsa1024.key" 1024 2>/dev/null
leaf rsa1024 rsa1024 -set_serial 7 -extfile "$work/leaf.ext"
root root-rsa1024 rsa1024
openssl genrsa -out "$work/rsa2041.key" 2041 2>/dev/null
leaf rsa2041 rsa2041 -set_serial 7 -extfile "$work/leaf.ext"
openssl genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:2048 -out "$work/dsa.param" 2>/dev/null
openssl genpkey -paramfile "$work/dsa.param" -out "$work/dsa.key" 2>/dev/null
leaf dsa dsa -set_serial 7 -extfile "$work/leaf.ext"

list list numbered
list list-without-number plain
list list-with-critical-number critical
list list-delta delta
list list-sha1 numbered -md sha1
