"""A server that closes a connection after so many seconds of rest. Writes down each request it read.

brief.py PORT SECONDS
"""

import socketserver
import sys

PORT, REST = int(sys.argv[1]), float(sys.argv[2])


class Connection(socketserver.StreamRequestHandler):
    timeout = REST

    def handle(self):
        while True:
            try:
                head = []
                while (line := self.rfile.readline()) not in (b"", b"\r\n"):
                    head.append(line)
                if not head:
                    return
            except OSError:
                return
            print(head[0].decode().strip(), flush=True)
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Server(("127.0.0.1", PORT), Connection) as server:
    server.serve_forever()
