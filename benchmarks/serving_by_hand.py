"""FastAPI and Redis: features from a hash, a dot product in numpy, the answer logged in a stream."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel
from redis.asyncio import Redis
from serving_rivals import FEATURES

SIZE, N_ITEMS, N_USERS = 64, 4_000, 5_000


class Asked(BaseModel):
    """The body."""

    user_id: str
    k: int = 10


rng = np.random.default_rng(0)
users = rng.standard_normal((N_USERS, SIZE), np.float32)
vectors = rng.standard_normal((N_ITEMS, SIZE), np.float32)
weights = rng.standard_normal((FEATURES, SIZE), np.float32) * np.float32(1e-3)
redis: Any = Redis.from_url(os.environ["BENCHMARK_REDIS"])
app = FastAPI()


@app.post("/recommend")
async def recommend(asked: Asked) -> dict[str, Any]:
    """Recommend the k best items to a user."""
    found = await redis.hgetall(f"features:{asked.user_id}")
    features = np.array([float(found.get(b"%d" % n, 0)) for n in range(FEATURES)], np.float32)
    scores = vectors @ (users[int(asked.user_id[5:])] + features @ weights)
    best = np.argsort(-scores)[: asked.k]
    items = [{"item_id": f"item-{n:07d}", "score": float(scores[n])} for n in best]
    await redis.xadd("log", {"answer": json.dumps({"user_id": asked.user_id, "items": items})})
    return {"items": items}
