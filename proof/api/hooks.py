"""
What schemathesis has to know of the shop (`npm run test:api`), because no document can say it: what exists in this shop,
how the payment provider signs, and which answers to valid requests are right (accepted.json).
"""

import hashlib
import hmac
import json
import os
import time
from collections import Counter
from pathlib import Path

import schemathesis
from schemathesis.core import NOT_SET
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks

SHOP = json.loads(os.environ["LARDER_FIXTURES"])
ACCEPTED = json.loads((Path(__file__).parent / "accepted.json").read_text())
found_accepted: Counter[str] = Counter()


def one_of(values, by):
    """The same value for the same request in every run; every fourth request keeps what was generated."""
    number = int.from_bytes(hashlib.sha256(repr(by).encode()).digest()[:4], "big")
    return by if number % 4 == 0 or not values else values[number % len(values)]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Names what exists, where the request is to be valid, and signs webhooks."""
    valid = lambda location: not is_wrong_on_purpose(case, location)
    if valid(ParameterLocation.PATH):
        for name, value in (case.path_parameters or {}).items():
            of_service = f"{case.operation.path.split('/')[1]} {name}"
            case.path_parameters[name] = one_of(SHOP.get(of_service, SHOP.get(name, [])), value)
    # Any other position is beyond the last event, or of another store; and this wait takes no time of the run.
    for name, value in {"Larder-Position": SHOP["position"], "Prefer": "wait=0"}.items():
        if name in (case.headers or {}) and valid(ParameterLocation.HEADER):
            case.headers[name] = value
    if valid(ParameterLocation.QUERY) and "orderId" in (case.query or {}):
        case.query["orderId"] = one_of(SHOP["orderId"], case.query["orderId"])
    if case.operation.path == "/orders" and valid(ParameterLocation.BODY) and isinstance(case.body, dict):
        for line in case.body["lines"]:
            line["sku"] = one_of(SHOP["sku"], line["sku"])
    if case.operation.path == "/webhooks/payments":
        data = case.body.get("data") if isinstance(case.body, dict) else None
        if valid(ParameterLocation.BODY) and isinstance(data, dict) and "orderId" in data:
            data["orderId"] = one_of(SHOP["orderId"], data["orderId"])
        if valid(ParameterLocation.HEADER):
            case.headers["Larder-Signature"] = sign(bytes_of(case.body))


def is_wrong_on_purpose(case, location) -> bool:
    """Whether the request is to be refused, and for this part of it: another part may be wrong by the way."""
    if case.meta is None or case.meta.generation.mode.is_positive:
        return False
    tried = getattr(case.meta.phase.data, "parameter_location", None)
    return case.meta.is_negative_at(location) and tried in (None, location)


def bytes_of(body) -> bytes:
    """What schemathesis is going to send."""
    return body if isinstance(body, bytes) else b"" if body is NOT_SET else json.dumps(body).encode()


def sign(body: bytes) -> str:
    """As apps/payment/src/webhook.ts."""
    seconds = str(int(time.time()))
    digest = hmac.new(SHOP["secret"].encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def answer_of(response) -> str:
    """Status, code, and what is wrong: `422 invalid-request cursor`, `422 invalid-request /data`."""
    try:
        problem = response.json()
        errors = problem.get("errors", [])
        wrong = {error.get("parameter") or "/" + error["pointer"].split("/")[1] for error in errors}
        return " ".join([str(response.status_code), problem["code"], *sorted(wrong)])
    except Exception:
        return str(response.status_code)


def unless_accepted(check, name, answers):
    """The check, except for those answers."""

    def checked(ctx, response, case):
        answer = answer_of(response)
        if answer in answers:
            found_accepted[f"{name}: {answer}"] += 1
            return None
        return check(ctx, response, case)

    checked.__name__ = f"{name}_unless_accepted"
    return checked


for name in {each["check"] for each in ACCEPTED}:
    answers = {each["answer"] for each in ACCEPTED if each["check"] == name}
    schemathesis.check(unless_accepted(getattr(checks, name), name, answers))


@schemathesis.check
class ReachesTheCore:
    """Every operation has succeeded at least once: what only refuses was not tried."""

    def __init__(self):
        self.tried = set()
        self.succeeded = set()

    def after_response(self, ctx, response, case):
        self.tried.add(case.operation.label)
        if 200 <= response.status_code < 300:
            self.succeeded.add(case.operation.label)

    def after_run(self, ctx):
        Path(os.environ["LARDER_ACCEPTED"]).write_text(json.dumps(found_accepted))
        never = sorted(self.tried - self.succeeded)
        if never:
            raise AssertionError("never succeeded: " + ", ".join(never))
