"""What a version carries for serving: ids, user histories, item content and item neighbours."""
