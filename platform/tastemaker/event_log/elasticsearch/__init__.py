"""Copies of the log in Elasticsearch or OpenSearch, for searches by many people over months."""
