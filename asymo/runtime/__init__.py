"""Ties the room together: sessions, their stages, their profile."""
