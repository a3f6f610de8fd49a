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
# When to look again at what is not signed, in seconds: it may be that only the new key is not here yet.
LATER = 600


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
        self.file = Path(os.environ["BONESETTER_TRUSTED"], f"{writer}.pub")
        self.keys = self.read()

    def read(self) -> dict[str, VerifyKey]:
        lines = self.file.read_text().splitlines()
        kind = "ed25519-public:"
        keys = [base64.b64decode(line.removeprefix(kind)) for line in lines if line.startswith(kind)]
        return {hashlib.sha256(key).hexdigest()[:16]: VerifyKey(key) for key in keys}

    def has_signed(self, message: nats.aio.msg.Msg) -> bool:
        """Whether the writer has signed exactly these bytes for exactly this subject."""
        headers = message.headers or {}
        key_id = headers.get("bonesetter-key-id", "")
        if key_id not in self.keys:
            self.keys = self.read()
        subject = message.subject.encode()
        signed = b"bonesetter.v1.signature\0" + len(subject).to_bytes(8, "big") + subject
        signed += hashlib.sha256(message.data).digest()
        try:
            signature = base64.b64decode(headers.get("bonesetter-sig", ""), validate=True)
            self.keys[key_id].verify(signed, signature)
        except (KeyError, BadSignatureError, ValueError):
            return False
        return True
