"""What the serving benchmark is compared with, each written as a person would who needs it done."""

from __future__ import annotations

from typing import Any

FEATURES = 4


def noop() -> Any:
    """Return a stock BentoML service that does nothing."""
    import bentoml

    @bentoml.service(name="noop", workers=1)
    class Noop:
        """The least that BentoML can do."""

        @bentoml.api(route="/recommend")  # type: ignore[untyped-decorator]
        def recommend(self, user_id: str, k: int = 10) -> dict[str, Any]:
            return {"items": []}

    return Noop


def bare() -> Any:
    """Return a service of Starlette and msgspec that reads a body and writes ten items.

    It has no model, no features and no log.
    """
    import msgspec
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    class Asked(msgspec.Struct):
        user_id: str
        k: int = 10

    decode, encode = msgspec.json.Decoder(Asked).decode, msgspec.json.Encoder().encode
    items = [{"item_id": f"item-{n:07d}", "score": 1.0 - n, "propensity": 1.0} for n in range(10)]

    async def recommend(request: Request) -> Response:
        asked = decode(await request.body())
        return Response(encode({"items": items[: asked.k]}), media_type="application/json")

    return Starlette(routes=[Route("/recommend", recommend, methods=["POST"])])


def fill(url: str, users: int) -> None:
    """Write the users' features into Redis, for `serving_by_hand`."""
    from redis import Redis

    with Redis.from_url(url) as redis, redis.pipeline() as pipe:
        for user in range(users):
            pipe.hset(f"features:user-{user:06d}", mapping={str(n): float(n) for n in range(FEATURES)})
        pipe.execute()
