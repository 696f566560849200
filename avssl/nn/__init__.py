"""Bricks that two or more methods share."""
