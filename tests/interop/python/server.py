"""An echo server on websockets that checks Origin against Host as a careful application
would. Prints the same JSON lines as go-server.
"""

import asyncio
import http
import json
from urllib.parse import urlsplit

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def say(**fields):
    print(json.dumps(fields), flush=True)


def before_handshake(connection, request):
    headers = request.headers
    if request.path != "/ws":
        return connection.respond(http.HTTPStatus.NOT_FOUND, "not here\n")
    say(
        event="handshake",
        host=headers.get("Host"),
        origin=headers.get("Origin", ""),
        extensions=headers.get("Sec-WebSocket-Extensions", ""),
        protocols=headers.get("Sec-WebSocket-Protocol", ""),
    )
    origin = headers.get("Origin")
    if origin and urlsplit(origin).netloc != headers.get("Host"):
        say(event="refused", error=f"origin {origin} is not {headers.get('Host')}")
        return connection.respond(http.HTTPStatus.FORBIDDEN, "Forbidden\n")
    return None


async def echo(connection):
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass
    await connection.wait_closed()
    say(event="closed", code=connection.close_code)


async def main():
    async with serve(
        echo,
        "127.0.0.1",
        0,
        process_request=before_handshake,
        subprotocols=["chat"],
        max_size=64 * 1024 * 1024,
    ) as server:
        say(event="listening", port=server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
