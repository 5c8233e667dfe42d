"""`bentoml serve tastemaker_content.service:ContentBased`."""

from tastemaker.serving.bento import service

ContentBased = service("content")
