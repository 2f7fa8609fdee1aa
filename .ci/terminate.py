"""Ends a proxy while requests are in flight, and counts what becomes of them: ADDRESS PID.

Each of many connections asks, again and again, for an answer that takes 300 ms. After the signal every request that was
sent must be answered whole; a connection that is closed instead of answering its next request must be closed before the
request was sent, which `Connection: close` on the answer before says."""
import os, signal, socket, sys, threading, time

address, pid = sys.argv[1].rsplit(":", 1), int(sys.argv[2])
address = (address[0], int(address[1]))
REQUEST = b"GET /delay/300 HTTP/1.1\r\nHost: sample-service\r\n\r\n"
lock, answered, lost, told = threading.Lock(), 0, [], threading.Event()


def read_answer(s):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            return None, b""
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = next((int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        piece = s.recv(65536)
        if not piece:
            return None, b""
        body += piece
    return head, body


def client():
    global answered
    s = socket.create_connection(address, 5)
    s.settimeout(10)
    while True:
        asked_after = told.is_set()
        try:
            s.sendall(REQUEST)
            head, _ = read_answer(s)
        except OSError as error:
            head = None
        if head is None:
            # A request sent after the signal may meet a closing connection; one sent before may not.
            if not asked_after:
                with lock:
                    lost.append("no answer")
            return
        with lock:
            answered += 1
            if not head.startswith(b"HTTP/1.1 200"):
                lost.append(head.split(b"\r\n")[0])
        if b"connection: close" in head.lower():
            return


threads = [threading.Thread(target=client) for _ in range(64)]
for t in threads:
    t.start()
time.sleep(1)
told.set()
os.kill(pid, signal.SIGTERM)
for t in threads:
    t.join(15)
print(f"  {answered} answered, {len(lost)} lost {lost[:3]}")
sys.exit(1 if lost or answered < 128 else 0)
