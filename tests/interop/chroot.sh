#!/usr/bin/env bash
# Shows what the container image relies on, without a container engine: the binary is static,
# starts in an otherwise empty root as a numeric user, answers, and drains on SIGTERM.
#
#   tests/interop/chroot.sh BINARY        (needs root for chroot)
set -euo pipefail

binary=$1
root=$(mktemp -d)
output=$root.log
pid=
finish() {
    [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    rm -rf "$root" "$output"
}
trap finish EXIT
fail() {
    echo "chroot: $*" >&2
    cat "$output" >&2 2>/dev/null || true
    exit 1
}

if ldd "$binary" 2>/dev/null | grep -q '=>'; then
    fail "$binary is not static: $(ldd "$binary")"
fi

mkdir -p "$root/etc/sluice"
cp "$binary" "$root/sluice"
cat >"$root/etc/sluice/sluice.toml" <<'TOML'
[[listen]]
address = "127.0.0.1:0"

[[route]]
respond = { status = 200, body = "from an empty root" }
TOML
chmod -R a+rX "$root"

chroot --userspec=65532:65532 "$root" /sluice run --config /etc/sluice/sluice.toml \
    >"$output" 2>&1 &
pid=$!

port=
for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || fail "sluice did not start"
    port=$(sed -n 's/.*"address":"127\.0\.0\.1:\([0-9]*\)".*/\1/p' "$output" | head -n 1)
    [ -z "$port" ] || break
    sleep 0.1
done
[ -n "$port" ] || fail "sluice never said where it listens"

# bash speaks enough HTTP for this; curl need not be there.
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET / HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$port" >&3
answer=$(timeout 10 cat <&3) || fail "no answer"
exec 3<&- 3>&-
case $answer in
*"from an empty root"*) ;;
*) fail "unexpected answer: $answer" ;;
esac

kill -TERM "$pid"
status=0
wait "$pid" || status=$?
pid=
[ "$status" -eq 0 ] || fail "exit code $status after SIGTERM"
echo "chroot: the static binary starts, answers and drains in an empty root"
