"""The common client exercise on websockets: see tests/interop/README.md.

    python client.py URL ORIGIN
"""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


async def exchange(connection, message):
    await connection.send(message)
    assert await connection.recv() == message, f"{len(message)} items came back changed"


async def main(url, origin):
    async with connect(
        url,
        origin=origin,
        subprotocols=["v2.unknown", "chat"],
        max_size=64 * 1024 * 1024,
        proxy=None,
    ) as connection:
        await exchange(connection, "hello")
        await exchange(connection, "")
        await exchange(connection, "compressible " * 80660)
        await exchange(connection, bytes(range(256)))
        await exchange(connection, os.urandom(1 << 20))
        await (await connection.ping(b"are you there"))
        await connection.close(4001, "done")
        print(
            json.dumps(
                {
                    "subprotocol": connection.subprotocol,
                    "extensions": connection.response.headers.get("Sec-WebSocket-Extensions", ""),
                    "close_code": connection.close_code,
                }
            )
        )


try:
    asyncio.run(asyncio.wait_for(main(sys.argv[1], sys.argv[2]), 20))
except InvalidStatus as refused:
    print(f"handshake refused: status {refused.response.status_code}", file=sys.stderr)
    sys.exit(3)
except ConnectionClosed as closed:
    print(f"closed early: {closed}", file=sys.stderr)
    sys.exit(1)
