"""Many handshakes that are begun and never finished: PORT AT_ONCE IN_ALL.

They come from many addresses of the loopback: a quarter says nothing, a quarter sends half a ClientHello, a quarter
sends one byte of it a second, and a quarter sends it whole and then says nothing. One that is closed is followed by the
next. Prints `open NOW BEGUN` once as many were begun as may be open at once, and for each line of input; and at the end
`closed OLDEST`, with how many seconds the oldest lived."""
import errno
import select
import socket
import ssl
import sys
import time

SILENT, HALF, SLOW, WHOLE = range(4)
SOURCES, CONNECTING_AT_ONCE, PATIENCE = 100, 256, 40


def client_hello():
    sent = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()


class Crowd:
    def __init__(self, port):
        self.port, self.hello = port, client_hello()
        self.poll = select.epoll()
        self.poll.register(sys.stdin, select.EPOLLIN)
        self.sockets, self.connecting, self.slow = {}, set(), {}
        self.since, self.begun, self.oldest = {}, 0, 0

    def begin(self):
        s = socket.socket()
        s.setblocking(False)
        s.bind((f"127.0.0.{2 + self.begun % SOURCES}", 0))
        s.connect_ex(("127.0.0.1", self.port))
        self.sockets[s.fileno()] = (s, self.begun % 4)
        self.connecting.add(s.fileno())
        self.poll.register(s, select.EPOLLOUT)
        self.begun += 1

    def connected(self, fd):
        s, kind = self.sockets[fd]
        if error := s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            sys.exit(f"connection {self.begun} failed: {errno.errorcode[error]}")
        self.connecting.discard(fd)
        self.since[fd] = time.monotonic()
        self.poll.modify(fd, select.EPOLLIN)
        if kind == SLOW:
            self.slow[fd] = 0
        elif kind != SILENT:
            self.send(fd, self.hello if kind == WHOLE else self.hello[: len(self.hello) // 2])

    def send(self, fd, piece):
        try:
            self.sockets[fd][0].send(piece)
        except OSError:
            pass  # the poll tells that it was closed

    def another_byte(self):
        for fd, at in self.slow.items():
            self.send(fd, self.hello[at : at + 1])
            self.slow[fd] = at + 1

    def readable(self, fd):
        try:
            if self.sockets[fd][0].recv(65536):
                return
        except OSError:
            pass
        self.oldest = max(self.oldest, time.monotonic() - self.since.pop(fd))
        self.slow.pop(fd, None)
        self.poll.unregister(fd)
        self.sockets.pop(fd)[0].close()

    def tell(self):
        print("open", len(self.since), self.begun, flush=True)


def main(port, at_once, in_all):
    crowd, told = Crowd(port), False
    ends, next_byte = time.monotonic() + PATIENCE, time.monotonic() + 1
    while crowd.begun < in_all or crowd.sockets:
        if time.monotonic() > ends:
            sys.exit(f"{len(crowd.since)} of {crowd.begun} are still open after {PATIENCE} s")
        while crowd.begun < in_all and len(crowd.sockets) < at_once and len(crowd.connecting) < CONNECTING_AT_ONCE:
            crowd.begin()
        for fd, _ in crowd.poll.poll(0.1, 1024):
            if fd == sys.stdin.fileno():
                if not sys.stdin.readline():
                    sys.exit("told to end")
                crowd.tell()
            elif fd in crowd.connecting:
                crowd.connected(fd)
            elif fd in crowd.since:
                crowd.readable(fd)
        if not told and crowd.begun >= at_once:
            told = True
            crowd.tell()
        if time.monotonic() > next_byte:
            next_byte += 1
            crowd.another_byte()
    print(f"closed {crowd.oldest:.1f}", flush=True)


main(*(int(argument) for argument in sys.argv[1:]))
