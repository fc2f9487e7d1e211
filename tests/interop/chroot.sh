#!/usr/bin/env bash
# Shows what the container image relies on, without a container engine: the binary is static,
# starts in an otherwise empty root as a numeric user with the configuration that is shipped,
# answers, takes commands, and drains on SIGTERM.
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
# As shipped but for the ports, which may be taken here, and the time that a balancer gets.
sed -e 's/":8080"/"127.0.0.1:0"/; s/127\.0\.0\.1:9180/127.0.0.1:0/; s/^delay = .*/delay = "0s"/' \
    "$(dirname "$0")/../../config/sidecar.toml" >"$root/etc/sluice/sluice.toml"
chmod -R a+rX "$root"

chroot --userspec=65532:65532 "$root" /sluice run --config /etc/sluice/sluice.toml \
    >"$output" 2>&1 &
pid=$!

# The port of the listener that this event tells of.
port_of() {
    sed -n "s/.*\"message\":\"$1\",\"address\":\"127\.0\.0\.1:\([0-9]*\)\".*/\1/p" "$output" | head -n 1
}
for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || fail "sluice did not start"
    ! grep -q '"message":"ready"' "$output" || break
    sleep 0.1
done
port=$(port_of listening)
admin=$(port_of 'admin interface listening')
[ -n "$port" ] || fail "sluice never said where it listens"
[ -n "$admin" ] || fail "there is no admin interface"

# bash speaks enough HTTP for this; curl need not be there.
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /-/alive HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$port" >&3
answer=$(timeout 10 cat <&3) || fail "no answer"
exec 3<&- 3>&-
case $answer in
*"200 OK"*ok*) ;;
*) fail "unexpected answer: $answer" ;;
esac

for command in status 'drain --all --detach' undrain reload; do
    # shellcheck disable=SC2086
    chroot --userspec=65532:65532 "$root" /sluice $command --admin "127.0.0.1:$admin" >/dev/null ||
        fail "sluice $command failed"
done

kill -TERM "$pid"
status=0
wait "$pid" || status=$?
pid=
[ "$status" -eq 0 ] || fail "exit code $status after SIGTERM"
echo "chroot: the static binary starts, answers, takes commands and drains in an empty root"
