"""Answers one JSON line for each JSON line read: a code, or the fields of a URI."""

import json
import sys

import hashlib

import pyotp

DIGESTS = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}


def code(request):
    totp = pyotp.TOTP(
        request["secret"],
        digits=request["digits"],
        digest=DIGESTS[request["algorithm"]],
        interval=request["period"],
    )
    return {"code": totp.at(request["time"])}


def parse(request):
    totp = pyotp.parse_uri(request["uri"])
    return {
        "secret": totp.secret,
        "issuer": totp.issuer,
        "account": totp.name,
        "algorithm": totp.digest().name.upper(),
        "digits": totp.digits,
        "period": totp.interval,
        # The same enrolment, written by the other side.
        "uri": totp.provisioning_uri(),
    }


for line in sys.stdin:
    request = json.loads(line)
    answer = parse(request) if "uri" in request else code(request)
    print(json.dumps(answer))
