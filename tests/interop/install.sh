#!/usr/bin/env bash
# Prepares the foreign WebSocket programs that the tests put in front of and behind sluice:
# the Go, node and python ones and the Autobahn|Testsuite. Does nothing for what is there.
#
#   tests/interop/install.sh [go] [node] [python] [autobahn]     (default: all four)
#
# SLUICE_INTEROP_DIR says where to; default: target/tmp/interop.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${SLUICE_INTEROP_DIR:-$here/../../target/tmp/interop}
mkdir -p "$root"
root=$(cd "$root" && pwd)

# Several test programs may ask at once: one installs, the others wait and find it done.
exec 9>"$root/.lock"
flock 9

say() { echo "interop: $*" >&2; }

# Registries have bad moments: three tries, then the failure is real.
retry() {
    local try
    for try in 1 2 3; do
        "$@" && return 0
        say "attempt $try failed: $*"
        sleep $((try * 5))
    done
    return 1
}

# A component is there when its stamp holds the checksum of what it is made from.
current() { [ -f "$root/$1.stamp" ] && [ "$(cat "$root/$1.stamp")" = "$2" ]; }
checksum() { cat "$@" | sha256sum | cut -d' ' -f1; }

install_go() {
    local sum
    sum=$(checksum "$here"/go-server/*.go "$here"/go-client/*.go)
    current go "$sum" && return 0
    [ -d /usr/share/gocode/src/github.com/gorilla/websocket ] || {
        say "the package golang-github-gorilla-websocket-dev is missing"
        return 1
    }
    say "building the gorilla/websocket programs"
    mkdir -p "$root/go"
    local program
    for program in go-server go-client; do
        GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS= CGO_ENABLED=0 \
            GOCACHE="${GOCACHE:-$root/go/cache}" \
            go build -o "$root/go/$program" "$here/$program/main.go"
    done
    echo "$sum" >"$root/go.stamp"
}

install_node() {
    local sum
    sum=$(checksum "$here/node/package.json")
    current node "$sum" && return 0
    say "installing ws for node"
    rm -rf "$root/node"
    mkdir -p "$root/node"
    cp "$here/node/package.json" "$root/node/"
    (cd "$root/node" && retry npm install --no-audit --no-fund --loglevel=error >&2)
    echo "$sum" >"$root/node.stamp"
}

install_python() {
    local sum
    sum=$(checksum "$here/python/requirements.txt")
    current python "$sum" && return 0
    say "installing websockets for python"
    rm -rf "$root/python"
    python3 -m venv "$root/python"
    retry "$root/python/bin/pip" install -q --disable-pip-version-check \
        -r "$here/python/requirements.txt" >&2
    echo "$sum" >"$root/python.stamp"
}

# The Testsuite is Python 2 code: pyenv's CPython 2.7, in a virtualenv made by the last
# virtualenv that knows Python 2, which itself runs on any Python 3.
install_autobahn() {
    local sum python2
    sum=$(checksum "$here/autobahn-requirements.txt")
    current autobahn "$sum" && return 0
    python2=$(find_python2) || {
        say "no CPython 2.7 found, neither by name nor in pyenv"
        return 1
    }
    say "installing the Autobahn|Testsuite on $python2"
    rm -rf "$root/autobahn" "$root/virtualenv"
    python3 -m venv "$root/virtualenv"
    retry "$root/virtualenv/bin/pip" install -q --disable-pip-version-check \
        'virtualenv<20.22' >&2
    "$root/virtualenv/bin/virtualenv" -q -p "$python2" "$root/autobahn" >&2
    # Its dependencies' setup scripts need the old setuptools before anything else.
    retry "$root/autobahn/bin/pip" install -q --no-python-version-warning \
        --disable-pip-version-check 'setuptools<45' wheel >&2
    retry "$root/autobahn/bin/pip" install -q --no-python-version-warning \
        --disable-pip-version-check --no-build-isolation \
        -r "$here/autobahn-requirements.txt" >&2
    "$root/autobahn/bin/wstest" --autobahnversion >&2
    echo "$sum" >"$root/autobahn.stamp"
}

find_python2() {
    local candidate
    for candidate in python2.7 "$HOME"/.pyenv/versions/2.7*/bin/python2.7; do
        # A pyenv shim answers to the name without a version behind it: run it.
        if candidate=$(command -v "$candidate") &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

[ $# -gt 0 ] || set -- go node python autobahn
for component in "$@"; do
    case $component in
    go | node | python | autobahn) "install_$component" ;;
    *) say "unknown component: $component" && exit 2 ;;
    esac
done
