"""Objectives, policies and the life of a page."""
