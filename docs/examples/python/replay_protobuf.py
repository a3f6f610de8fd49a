"""Prints every diagnosis of a namespace that is kept, then each new one: protobuf, signature verified."""

import asyncio
import os
import sys
from pathlib import Path

import bus
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from nats.errors import TimeoutError as NothingNew

STREAM = "EXTERNAL_DIAGNOSED"


def message_type(name: str) -> type:
    """A message type out of descriptor.bin; generated code (protoc, buf) does as well."""
    descriptors = Path(os.environ["BONESETTER_DESCRIPTORS"]).read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


async def main() -> None:
    Diagnosed = message_type("bonesetter.v1.Diagnosed")
    trusted = bus.Trusted("svc-llm")
    nc = await bus.connect()
    subscription = await nc.jetstream().pull_subscribe_bind(bus.CONSUMER, stream=STREAM)
    while True:
        try:
            messages = await subscription.fetch(10, timeout=30)
        except NothingNew:
            continue
        for message in messages:
            if not trusted.has_signed(message):
                print(f"not signed by svc-llm: {message.subject}", file=sys.stderr)
                await message.nak(delay=bus.LATER)
                continue
            diagnosed = Diagnosed.FromString(message.data)
            owner = diagnosed.incident.root_owner
            workload = f"{owner.namespace}/{owner.kind}/{owner.name}"
            print(diagnosed.incident.id, workload, diagnosed.diagnosis.summary, flush=True)
            await message.ack_sync()


asyncio.run(main())
