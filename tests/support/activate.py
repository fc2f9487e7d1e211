# Does what a service manager does for socket activation. Opens the sockets that its arguments
# name, puts their addresses into the configuration ({0}, {1}, ...), and becomes sluice: the
# process id stays, so that LISTEN_PID can name it.
import fcntl
import os
import socket
import sys

binary, config, pid, *specs = sys.argv[1:]
text, sockets = open(config).read(), []
for index, spec in enumerate(specs):
    kind, _, address = spec.partition(":")
    if kind in ("tcp", "udp", "idle"):
        form = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
        one = socket.socket(socket.AF_INET, form)
        one.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % one.getsockname()[1]
    else:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.bind("\0" + address if kind == "abstract" else address)
        address = "unix:" + ("@" if kind == "abstract" else "") + address
    if kind not in ("udp", "idle"):
        one.listen()
    print("bound", index, address, flush=True)
    text = text.replace("{%d}" % index, address)
    sockets.append(one)
open(config, "w").write(text)
# Out of the way first: one of them may be 4 and belong at 3.
high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 100) for one in sockets]
for number, fd in enumerate(high):
    os.dup2(fd, 3 + number, inheritable=True)
os.environ["LISTEN_PID"] = str(os.getpid()) if pid == "own" else pid
os.environ["LISTEN_FDS"] = str(len(sockets))
os.environ["LISTEN_FDNAMES"] = ":".join("name-%d" % index for index in range(len(sockets)))
os.execv(binary, [binary, "run", "--config", config])
