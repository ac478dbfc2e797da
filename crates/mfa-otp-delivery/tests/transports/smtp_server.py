"""A mail server for tests: aiosmtpd, set up by one line of JSON, which tells what happens in lines of JSON.

What it answers depends on the local part of a recipient: refused, later, full, policy, silent, unwanted, unsure.
"""

import asyncio
import base64
import email
import email.policy
import json
import logging
import ssl
import sys
import tempfile
import threading
import time

from aiosmtpd.smtp import SMTP, AuthResult

# Refused handshakes are what some tests are about.
logging.disable(logging.CRITICAL)

REFUSALS = {
    "refused": "550 5.1.1 <refused@example.com> no such mailbox",
    "later": "451 4.3.0 try again later",
    "full": "552 5.2.2 mailbox full",
    "policy": "550 5.7.1 relaying denied",
}
TEXT_REFUSALS = {"unwanted": "554 5.6.0 not this text", "unsure": "451 4.3.0 not now"}


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        local = address.partition("@")[0]
        tell("recipient", address=address)
        if local == "silent":
            await asyncio.Event().wait()
        if local in REFUSALS:
            return REFUSALS[local]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        raw = envelope.original_content
        parsed = email.message_from_bytes(raw, policy=email.policy.default)
        tell(
            "message",
            sender=envelope.mail_from,
            recipients=envelope.rcpt_tos,
            raw=base64.b64encode(raw).decode(),
            headers=[[name, str(value)] for name, value in parsed.items()],
            body=parsed.get_content(),
            encrypted=session.ssl is not None,
            hello=session.host_name,
        )
        return TEXT_REFUSALS.get(envelope.rcpt_tos[0].partition("@")[0], "250 2.0.0 queued")


class Server(SMTP):
    connections = set()

    def connection_made(self, transport):
        # With STARTTLS it is called once more for the same connection.
        if self.transport is None:
            tell("connect")
        Server.connections.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error):
        Server.connections.discard(self.transport)
        super().connection_lost(error)


def context(settings):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(settings["certificate"] + settings["key"])
        file.flush()
        made.load_cert_chain(file.name)
    return made


async def main():
    settings = json.loads(sys.stdin.readline())
    tls = context(settings) if "certificate" in settings else None
    mode = settings["mode"]

    def authenticate(server, session, envelope, mechanism, data):
        right = (data.login, data.password) == (b"mfa", settings["password"].encode())
        tell("sign_in", right=right, mechanism=mechanism)
        return AuthResult(success=right, handled=True if right else False)

    options = {"hostname": "mail.test", "loop": asyncio.get_running_loop()}
    if mode == "starttls":
        options |= {"tls_context": tls, "require_starttls": True}
    if "password" in settings:
        # With TLS from the first byte the session is encrypted without STARTTLS.
        options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": mode == "starttls"}

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(
        lambda: Server(Handler(), **options), "127.0.0.1", 0, ssl=tls if mode == "tls" else None
    )
    tell("ready", port=listener.sockets[0].getsockname()[1], now=int(time.time()))

    def drop():
        for transport in list(Server.connections):
            transport.abort()
        tell("dropped")

    def listen():
        for line in sys.stdin:
            if line.strip() == "drop":
                loop.call_soon_threadsafe(drop)
            if line.strip() == "echo":
                loop.call_soon_threadsafe(tell, "echo")

    threading.Thread(target=listen, daemon=True).start()
    await asyncio.Event().wait()


asyncio.run(main())
