"""Prints every diagnosis of a namespace that is kept, then each new one: JSON, each acknowledged."""

import asyncio
import json
import sys

import bus
from nats.errors import TimeoutError as NothingNew

STREAM = "EXTERNAL_DIAGNOSED_JSON"


async def main() -> None:
    trusted = bus.Trusted("svc-notifier-publish")
    nc = await bus.connect()
    # It goes on behind what was acknowledged.
    subscription = await nc.jetstream().pull_subscribe_bind(bus.CONSUMER, stream=STREAM)
    while True:
        try:
            messages = await subscription.fetch(10, timeout=30)
        except NothingNew:
            continue
        for message in messages:
            if not trusted.has_signed(message):
                print(f"not signed by the publisher: {message.subject}", file=sys.stderr)
                await message.nak(delay=bus.LATER)
                continue
            event = json.loads(message.data)
            incident, diagnosis = event["data"]["incident"], event["data"]["diagnosis"]
            print(incident["id"], event["subject"], diagnosis.get("summary", ""), flush=True)
            # Only now: what is not acknowledged comes again.
            await message.ack_sync()


asyncio.run(main())
