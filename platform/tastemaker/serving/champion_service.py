"""The service of the champion, of whichever model: what `tastemaker serve` starts where no model is named."""

from tastemaker.serving.bento_service import champion_service

Champion = champion_service()
