"""Processes, certificates and clients for the end-to-end tests that are written in Python."""
import http.server
import json
import os
import re
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_KEPT = tempfile.TemporaryDirectory(prefix="mesh-")
DIR = Path(_KEPT.name)
PROGRAMS = []


class Failed(Exception):
    """What should have held and did not, with what the peer said."""


def require(held, what, said=""):
    if not held:
        raise Failed(f"{what}\n{said}".rstrip())


def until(what, probe, seconds=10):
    """The first true answer of the probe; one that does not come in time fails. What cannot connect yet may later."""
    end, last = time.monotonic() + seconds, ""
    while True:
        try:
            if answer := probe():
                return answer
        except OSError as error:
            last = str(error)
        require(time.monotonic() < end, f"not within {seconds} s: {what}", last)
        time.sleep(0.05)


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for s in held:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


@dataclass
class Ran:
    code: int
    text: str


def run(*command, ok=True, say=None, patience=20):
    """Runs a command to its end. `say` is what it is told, piece by piece; its input stays open after that."""
    process = subprocess.Popen(
        [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    late = threading.Timer(patience, process.kill)
    late.start()
    try:
        for piece in say or ():
            process.stdin.write(piece)
            process.stdin.flush()
        text = process.stdout.read().decode(errors="replace")
        ran = Ran(process.wait(), text)
    finally:
        late.cancel()
        process.stdin.close()
        process.stdout.close()
    called = " ".join(str(part) for part in command)
    require(ran.code != -9, f"still running after {patience} s: {called}", ran.text)
    require(ran.code == 0 or not ok, f"exit {ran.code} of {called}", ran.text)
    return ran


class Program:
    """A process that serves until it is stopped. What it says is kept in a file."""

    def __init__(self, name, *command, **env):
        self.name, self.path = name, DIR / f"{name}.log"
        with open(self.path, "ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | env,
            )
        PROGRAMS.append(self)

    def log(self, since=0):
        return self.path.read_text(errors="replace")[since:]

    def says(self, *patterns, since=0):
        """Waits until all of them stand in one line."""

        def line():
            lines = self.log(since).splitlines()
            return next((line for line in lines if all(re.search(p, line, re.I) for p in patterns)), None)

        try:
            return until(f"{self.name} says {' and '.join(patterns)}", line, 5)
        except Failed as error:
            raise Failed(f"{error}\n{self.log(since)[-4000:]}") from None

    def serves(self, url):
        def answers():
            code = self.process.poll()
            require(code is None, f"{self.name} ended with {code}", self.log()[-4000:])
            return run("curl", "-sf", "-o", "/dev/null", url, ok=False).code == 0

        until(f"{self.name} serves {url}", answers)
        return self

    def memory(self, which="VmRSS"):
        """What it holds of memory, in MiB; `VmHWM`: what it held at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{which}:\s+(\d+)", status)[1]) // 1024

    def stop(self, patience=10):
        """Asks it to end, and answers how it did."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


def end():
    """Ends all that was started."""
    for program in PROGRAMS:
        program.stop(3)
    _KEPT.cleanup()


@dataclass
class Pair:
    """A certificate, its key, and the CA that signed it: files."""

    cert: Path
    key: Path
    ca: Path

    @classmethod
    def at(cls, directory):
        return cls(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")

    def told(self, *flags):
        """What openssl says of the certificate."""
        return run("openssl", "x509", "-in", self.cert, "-noout", *flags).text

    @property
    def serial(self):
        return self.told("-serial").strip().removeprefix("serial=")

    @property
    def fingerprint(self):
        return self.told("-fingerprint", "-sha256").strip().split("=")[1].replace(":", "").lower()


class OpensslCa:
    """A CA whose every file openssl made."""

    def __init__(self, name, subject):
        self.dir = DIR / name
        self.dir.mkdir()
        self.cert, self.key = self.dir / "ca.pem", self.dir / "ca.key"
        self.config = self.dir / "ca.cnf"
        self.config.write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.dir}/index\nnew_certs_dir={self.dir}\nunique_subject=no\n"
            "default_md=sha256\ndefault_days=30\nrand_serial=yes\npolicy=p\n[p]\ncommonName=optional\n"
            "[req]\ndistinguished_name=n\n[n]\n"
        )
        (self.dir / "index").touch()
        run(
            "openssl", "req", "-x509", "-config", self.config, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", self.key, "-out", self.cert, "-days", "30", "-subj", f"/CN={subject}",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-addext", "subjectKeyIdentifier=hash",
        )

    def issue(self, name, *san, key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), ca=False, expired=False):
        directory = self.dir / name
        directory.mkdir()
        pair = Pair.at(directory)
        request, extensions = directory / "csr.pem", directory / "extensions"
        run(
            "openssl", "req", "-new", "-config", self.config, "-newkey", *key, "-nodes", "-keyout", pair.key,
            "-out", request, "-subj", f"/CN={name}",
        )
        lines = ["extendedKeyUsage=clientAuth,serverAuth", "authorityKeyIdentifier=keyid"]
        lines.append("basicConstraints=critical,CA:" + ("TRUE" if ca else "FALSE"))
        lines.append("keyUsage=critical,digitalSignature" + (",keyCertSign" if ca else ""))
        if san:
            lines.append("subjectAltName=" + ",".join(san))
        extensions.write_text("\n".join(lines) + "\n")
        dates = ("-startdate", "20200101000000Z", "-enddate", "20200102000000Z") if expired else ()
        run(
            "openssl", "ca", "-batch", "-notext", "-config", self.config, "-cert", self.cert, "-keyfile", self.key,
            "-in", request, "-out", pair.cert, "-extfile", extensions, *dates,
        )
        pair.ca.write_bytes(self.cert.read_bytes())
        return pair


class Origin:
    """A plaintext upstream. It answers with the request's fields, as JSON, and counts what reaches it. `/slow` takes
    a second."""

    def __init__(self, port):
        origin = self
        self.seen = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def parse_request(self):
                # A line of anything counts, whether it is HTTP or not.
                origin.seen += 1
                return super().parse_request()

            def do_GET(self):
                if self.path == "/slow":
                    time.sleep(1)
                body = json.dumps([(name.lower(), value) for name, value in self.headers.items()]).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 1024

            def handle_error(self, *_):
                pass  # a client that leaves is no error

        self.server = Server(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Plaintext:
    """Answers whatever comes with plaintext HTTP, and keeps what came."""

    def __init__(self, port):
        self.came = []
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            s, _ = self.listener.accept()
            with s:
                s.settimeout(5)
                try:
                    if came := s.recv(65536):
                        self.came.append(came)
                        s.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                except OSError:
                    pass


@dataclass
class Answer:
    status: str
    version: str
    headers: dict
    body: str
    said: str

    def fields(self, name):
        """The values of a field that the origin saw; `_` is taken for `-`, as many an application does."""
        return [value for field, value in json.loads(self.body) if field.replace("_", "-") == name]


def curl(url, *flags, pair=None, ca=None, ok=True):
    """An answer that curl got, or with `ok=False` what came of it."""
    flags = list(flags)
    if ca:
        flags += ["--cacert", ca]
    if pair:
        flags += ["--cert", pair.cert, "--key", pair.key]
    head, body = DIR / "curl.head", DIR / "curl.body"
    head.write_bytes(b"")
    body.write_bytes(b"")
    ran = run(
        "curl", "-sS", "--max-time", "10", "-D", head, "-o", body, "-w", "%{http_code} %{http_version}", *flags, url,
        ok=False,
    )
    status, version = ran.text.split()[-2:]
    lines = [line.partition(":") for line in head.read_text(errors="replace").splitlines()[1:]]
    headers = {name.lower(): value.strip() for name, colon, value in lines if colon}
    answer = Answer(status, version, headers, body.read_text(errors="replace"), ran.text)
    require(not ok or ran.code == 0, f"curl {url}: exit {ran.code}", f"{ran.text}\n{answer.body}")
    return answer


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def s_client(port, ca, *flags, pair=None, say=None, name="localhost"):
    """What `openssl s_client` says until the server closes. Without `say` it only listens; without `name` any will do."""
    named = ["-verify_hostname", name] if name else []
    mine = ["-cert", pair.cert, "-key", pair.key] if pair else []
    return run(
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", "-CAfile", ca,
        "-verify_return_error", *named, *mine, *flags, ok=False, say=say, patience=10,
    ).text


def alerts(text):
    return [int(number) for number in re.findall(r"SSL alert number (\d+)", text)]


def tls_context(ca, pair=None, version=None):
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False  # identities are not names; what is asserted is the certificate
    if version:
        context.minimum_version = context.maximum_version = version
    if pair:
        context.load_cert_chain(pair.cert, pair.key)
    return context


def tls(port, context, patience=10):
    s = socket.create_connection(("127.0.0.1", port), patience, source_address=("127.0.0.1", 0))
    try:
        return context.wrap_socket(s, server_hostname="localhost")
    except BaseException:
        s.close()
        raise


def ask(s, path="/"):
    """One request on an open connection; the status of its answer."""
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(s)
    head, body = data.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"content-length: *(\d+)", head, re.I)[1])
    while len(body) < length:
        body += received(s)
    return int(head.split()[1])


def received(s):
    piece = s.recv(65536)
    require(piece, "the connection was closed")
    return piece
