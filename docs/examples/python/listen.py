"""Prints each diagnosis of a namespace when it is made: core NATS, JSON, nothing is kept for you."""

import asyncio
import json

import bus


async def main() -> None:
    nc = await bus.connect()
    messages = await nc.subscribe(f"bonesetter.v1.diagnosed-json.*.{bus.NAMESPACE}.>")
    async for message in messages.messages:
        event = json.loads(message.data)
        incident, diagnosis = event["data"]["incident"], event["data"]["diagnosis"]
        print(incident["id"], event["subject"], diagnosis.get("summary", ""), flush=True)


asyncio.run(main())
