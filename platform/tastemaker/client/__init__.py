"""A typed client of the prediction service, speaking in the service's own structs.

from tastemaker.client import Client, FeedbackEvent

with Client("https://recommender.example", key="tm_...") as client:
    answer = client.recommend("17850", k=5)
    client.feedback([FeedbackEvent("order-4711", "purchase", answer.items[0].item_id,
                                   request_id=answer.request_id)])
"""

from tastemaker.api.schemas import (
    Answer,
    Explanation,
    ExposureReport,
    FeedbackEvent,
    ItemUpsert,
    Problem,
    Ready,
    Receipt,
    Request,
    SimilarAnswer,
    UserUpsert,
)
from tastemaker.client.client import Client
from tastemaker.client.transport import ServiceError

__all__ = [
    "Answer",
    "Client",
    "Explanation",
    "ExposureReport",
    "FeedbackEvent",
    "ItemUpsert",
    "Problem",
    "Ready",
    "Receipt",
    "Request",
    "ServiceError",
    "SimilarAnswer",
    "UserUpsert",
]
