"""`PYTHONPATH=... bentoml serve tastemaker_faulty.service:Faulty`."""

from tastemaker.serving.bento_service import service

Faulty = service("faulty")
