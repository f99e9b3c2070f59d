"""Helpers without torch, shared by the packages above."""
