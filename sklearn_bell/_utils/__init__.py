"""Helpers without torch at import, shared by the packages above."""
