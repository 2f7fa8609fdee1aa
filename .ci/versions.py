"""A version of a service: versions.py PORT NAME FILE. Of every hundred requests it fails as many as FILE says, spread
over them, so that no breaker opens."""
import itertools
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, name, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
count = itertools.count()


class Version(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        with open(path) as file:
            fails = next(count) * 37 % 100 < int(file.read() or 0)
        self.send_response(500 if fails else 200)
        self.send_header("content-length", str(len(name)))
        self.end_headers()
        self.wfile.write(name.encode())

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", port), Version).serve_forever()
