"""`bentoml serve tastemaker_ranker.service:Ranker`."""

from tastemaker.serving.bento import service

Ranker = service("ranker")
