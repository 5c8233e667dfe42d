"""What a version carries to serve: ids, users' history, item content and neighbours."""
