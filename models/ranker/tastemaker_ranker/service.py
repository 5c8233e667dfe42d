"""`bentoml serve tastemaker_ranker.service:Ranker`."""

from tastemaker.serving.bento_service import service

Ranker = service("ranker")
