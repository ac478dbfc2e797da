"""Answers one JSON line for each JSON line read: what Duo's own SDK and PyJWT make of it."""

import json
import sys
from datetime import datetime, timezone
from unittest import mock

import jwt
from duo_universal import client as sdk


def configured(request):
    return sdk.Client(request["client_id"], request["secret"], request["host"], request["redirect_uri"])


def auth_url(request):
    with mock.patch.object(sdk.time, "time", lambda: request["now"]):
        url = configured(request).create_auth_url(request["username"], request["state"], request["nonce"])
    return {"url": url}


def decode(request):
    claims = jwt.decode(
        request["jwt"],
        request["secret"],
        algorithms=["HS512"],
        audience=request["audience"],
        options={"verify_exp": False},
    )
    return {"claims": claims, "header": jwt.get_unverified_header(request["jwt"])}


def encode(request):
    return {"jwt": jwt.encode(request["claims"], request["secret"], algorithm=request["algorithm"])}


def exchange(request):
    """Has the SDK exchange a code for the id token of the request, at its time."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(request["now"], timezone.utc)

    class Reply:
        status_code = 200

        @staticmethod
        def json():
            return {"id_token": request["jwt"]}

    with mock.patch.object(jwt.api_jwt, "datetime", Clock), \
            mock.patch.object(sdk.requests, "post", lambda *_, **__: Reply):
        try:
            configured(request).exchange_authorization_code_for_2fa_result(
                "code", request["username"], request["nonce"]
            )
        except sdk.DuoException as refused:
            return {"accepted": False, "why": str(refused)}
    return {"accepted": True}


OPERATIONS = {"auth_url": auth_url, "decode": decode, "encode": encode, "exchange": exchange}

for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(OPERATIONS[request["op"]](request)))
