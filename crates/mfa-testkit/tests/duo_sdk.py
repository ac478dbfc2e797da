"""Makes one call with Duo's official packages for each JSON line read, and answers what it saw as one JSON line.

The first line read says where Duo is and which keys to use.
"""

import hashlib
import json
import sys
import tempfile
import warnings

# One package says that it is deprecated, another that Duo's keys are short.
warnings.simplefilter("ignore")

import duo_client
import duo_universal
import duo_web
import requests

setup = json.loads(sys.stdin.readline())
port = setup["port"]
ca = tempfile.NamedTemporaryFile("w", suffix=".pem")
ca.write(setup["ca_pem"])
ca.flush()

DIGESTS = {"sha1": hashlib.sha1, "sha512": hashlib.sha512}


def auth(request):
    """Calls the Auth API. This package looks for the host among the certificate's DNS names only."""
    client = duo_client.Auth(
        setup["ikey"],
        setup["skey"],
        "localhost",
        port=port,
        ca_certs=ca.name,
        sig_version=request.get("sig_version", 5),
        digestmod=DIGESTS[request.get("digest", "sha512")],
        timeout=60,
    )
    value = getattr(client, request["call"])(**request.get("args", {}))
    return value.hex() if isinstance(value, bytes) else value


def universal(request):
    client = duo_universal.Client(
        setup["ikey"],
        setup["skey"],
        "127.0.0.1:%d" % port,
        "https://login.example/callback?from=duo",
        duo_certs=ca.name,
        use_duo_code_attribute=request.get("use_duo_code_attribute", True),
    )
    return getattr(client, request["call"])(*request.get("args", []))


def fetch(request):
    """Goes where the browser would be sent, and no further."""
    response = requests.get(request["url"], verify=ca.name, allow_redirects=False, timeout=60)
    return {"status": response.status_code, "location": response.headers.get("Location"), "body": response.text}


def web(request):
    keys = [setup["ikey"], setup["skey"], "a" * 40]
    return getattr(duo_web, request["call"])(*keys, *request["args"])


APIS = {"auth": auth, "universal": universal, "fetch": fetch, "web": web}

for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"ok": APIS[request["api"]](request)}
    except Exception as error:  # What a caller of the package would see.
        answer = {"error": str(error), "kind": type(error).__name__}
        # The package keeps the answer there, as text or already read.
        data = getattr(error, "data", None)
        answer["body"] = json.loads(data) if isinstance(data, (str, bytes)) else data
    print(json.dumps(answer), flush=True)
