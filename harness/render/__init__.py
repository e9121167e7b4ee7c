"""Frames to text or pictures; nothing here computes."""
