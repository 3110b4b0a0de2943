"""Draws what evaluation computed and explain found: plots, gallery and one page; computes no figure itself."""
