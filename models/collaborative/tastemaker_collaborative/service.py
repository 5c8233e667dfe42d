"""`bentoml serve tastemaker_collaborative.service:EASE`, and so on for each."""

from tastemaker.serving.bento_service import service

BPR = service("bpr")
EASE = service("ease")
IALS = service("ials")
ItemKNN = service("item_knn")
