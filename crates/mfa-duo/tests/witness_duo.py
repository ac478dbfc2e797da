"""Answers one JSON line for each JSON line read, with Duo's own packages `duo_client` and `duo_web`."""

import hashlib
import json
import sys
import time
import warnings

warnings.simplefilter("ignore")

import duo_client.client  # noqa: E402
import duo_web  # noqa: E402

DIGESTS = {"sha1": hashlib.sha1, "sha512": hashlib.sha512}


def sign(request):
    """The header `Authorization` of a request."""
    return duo_client.client.sign(
        request["ikey"],
        request["skey"],
        request["method"],
        request["host"],
        request["path"],
        request["date"],
        request["version"],
        duo_client.client.normalize_params(request["params"]),
        body=request["body"],
        digestmod=DIGESTS[request["digest"]],
        additional_headers=request["headers"],
    )


def call(request):
    """What `duo_client` itself would send for a call of the Auth API: method, address, body, headers."""
    sent = {}

    def keep(method, uri, body, headers):
        headers = {name.decode().lower(): value.decode() for name, value in headers.items()}
        sent.update(method=method, uri=uri, body=body or "", headers=headers)
        raise StopIteration

    api = duo_client.Auth(
        request["ikey"],
        request["skey"],
        request["host"],
        sig_version=request["version"],
        digestmod=DIGESTS[request["digest"]],
    )
    api._make_request = keep
    duo_client.client.email.utils.formatdate = lambda: request["date"]
    try:
        getattr(api, request["call"])(**request["arguments"])
    except StopIteration:
        return sent


def sign_request(request):
    keys = [request[key] for key in ("ikey", "skey", "akey")]
    signer = duo_web.sign_enroll_request if request["enroll"] else duo_web.sign_request
    return signer(*keys, request["user"])


def reply(request):
    """Duo's half of a reply."""
    values = [request["user"], request["ikey"]]
    return duo_web._sign_vals(request["skey"], values, request["prefix"], request["expire"])


def verify(request):
    keys = [request[key] for key in ("ikey", "skey", "akey")]
    verifier = duo_web.verify_enroll_response if request["enroll"] else duo_web.verify_response
    return verifier(*keys, request["response"])


OPS = {"sign": sign, "call": call, "sign_request": sign_request, "reply": reply, "verify": verify}

for line in sys.stdin:
    request = json.loads(line)
    # `duo_web` asks for the time itself.
    time.time = lambda: request.get("now", 0)
    print(json.dumps(OPS[request["op"]](request)))
