"""Signs webhooks with the PSPs' own libraries: a JSON list of them on stdin, their signatures on stdout."""

import datetime
import json
import sys

import standardwebhooks
import stripe
from Adyen import util as adyen


def sign(webhook):
    scheme, secret = webhook["scheme"], webhook["secret"]
    if scheme == "stripe":
        return stripe.WebhookSignature.generate_signature_header(webhook["body"], secret)
    if scheme == "adyen":
        return adyen.generate_notification_sig(webhook["item"], secret).decode()
    if scheme == "standard_webhooks":
        moment = datetime.datetime.fromtimestamp(webhook["timestamp"], tz=datetime.timezone.utc)
        return standardwebhooks.Webhook(secret).sign(webhook["id"], moment, webhook["body"])
    raise ValueError(scheme)


json.dump([sign(webhook) for webhook in json.load(sys.stdin)], sys.stdout)
