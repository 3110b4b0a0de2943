"""Figures about scores and targets, each with its uncertainty and beside what a constant would get; draws nothing."""
