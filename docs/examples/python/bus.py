"""What the examples share: the connection, and the check of signatures."""

import base64
import hashlib
import os
import ssl
import sys
from pathlib import Path

import nats
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

TOOL = os.environ["BONESETTER_TOOL"]
NAMESPACE = os.environ["BONESETTER_NAMESPACE"]
# One consumer for each tool and namespace; no other name is allowed.
CONSUMER = f"{TOOL}_{NAMESPACE}"


async def on_error(error: Exception) -> None:
    """The server says what a user may not do here, and nowhere else: the call itself just waits."""
    print(f"nats: {error}", file=sys.stderr, flush=True)
    if "violation" in str(error).lower():
        os._exit(1)


async def connect() -> nats.NATS:
    tls = ssl.create_default_context(cafile=os.environ["NATS_CA"])
    tls.load_cert_chain(os.environ["NATS_CERT"], os.environ["NATS_KEY"])
    return await nats.connect(
        os.environ["NATS_URL"],
        tls=tls,
        nkeys_seed=os.environ["NATS_NKEY"],
        inbox_prefix=f"_INBOX_external-{TOOL}",
        max_reconnect_attempts=-1,
        error_cb=on_error,
    )


class Trusted:
    """The public keys of one writer: a file of `trusted/`, one key a line, during a rotation several."""

    def __init__(self, writer: str) -> None:
        self.keys = {}
        for line in Path(os.environ["BONESETTER_TRUSTED"], f"{writer}.pub").read_text().splitlines():
            if line.startswith("ed25519-public:"):
                key = base64.b64decode(line.removeprefix("ed25519-public:"))
                self.keys[hashlib.sha256(key).hexdigest()[:16]] = VerifyKey(key)

    def has_signed(self, message: nats.aio.msg.Msg) -> bool:
        """Whether the writer has signed exactly these bytes for exactly this subject."""
        headers = message.headers or {}
        key = self.keys.get(headers.get("bonesetter-key-id", ""))
        if key is None:
            return False
        subject = message.subject.encode()
        signed = b"bonesetter.v1.signature\0" + len(subject).to_bytes(8, "big") + subject
        try:
            signature = base64.b64decode(headers.get("bonesetter-sig", ""), validate=True)
            key.verify(signed + message.data, signature)
        except (BadSignatureError, ValueError):
            return False
        return True
