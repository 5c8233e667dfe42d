"""`bentoml serve tastemaker_baselines.service:Popularity`, and so on for each."""

from tastemaker.serving.bento_service import service

BoughtAgain = service("bought_again")
Popularity = service("popularity")
Random = service("random")
Trending = service("trending")
