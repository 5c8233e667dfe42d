"""`bentoml serve tastemaker_content.service:ContentBased`."""

from tastemaker.serving.bento_service import service

ContentBased = service("content")
