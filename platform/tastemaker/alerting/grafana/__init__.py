"""Grafana's boards, made from code: panels, four boards, and the files that Grafana reads."""
