"""Chooses a recipe that a given time suffices for, from speeds measured on this very machine."""
