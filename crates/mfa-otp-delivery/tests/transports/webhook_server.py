"""A receiver of webhooks for tests: https, with the signatures checked by the Python package `standardwebhooks`.

The path says what is answered: /status/<code>, or /silent for nothing at all.
"""

import base64
import http.server
import json
import ssl
import sys
import tempfile
import threading
import time

from standardwebhooks.webhooks import Webhook

settings = json.loads(sys.stdin.readline())
webhook = Webhook(settings["secret"])


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            webhook.verify(body, headers)
            verified = True
        except Exception:
            verified = False
        tell("request", verified=verified, headers=headers, body=json.loads(body), raw=base64.b64encode(body).decode())
        if self.path == "/silent":
            threading.Event().wait()
        status = int(self.path.rpartition("/")[2]) if verified else 401
        answer = settings["answer"].encode()
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


server = Server(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
with tempfile.NamedTemporaryFile("w") as file:
    file.write(settings["certificate"] + settings["key"])
    file.flush()
    context.load_cert_chain(file.name)
server.socket = context.wrap_socket(server.socket, server_side=True)


def listen():
    for line in sys.stdin:
        if line.strip() == "echo":
            tell("echo")


threading.Thread(target=listen, daemon=True).start()
tell("ready", port=server.server_address[1], now=int(time.time()))
server.serve_forever()
