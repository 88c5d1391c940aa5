"""Boards as code: queries that answer an incident's questions, panels that show them, and Grafana's provisioning."""
