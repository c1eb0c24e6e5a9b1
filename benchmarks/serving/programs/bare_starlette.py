"""Starlette with nothing above it, as uvicorn runs it for `hfspec serve`: python -m … PORT."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def answer(request: Request) -> Response:
    await request.body()
    return Response(b'{"predictions":[1]}', media_type="application/json")


async def ready(_: Request) -> Response:
    return Response(b"{}")


if __name__ == "__main__":
    app = Starlette(
        routes=[Route("/models/{name}/predict", answer, methods=["POST"]), Route("/ready", ready)],
    )
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="warning")
