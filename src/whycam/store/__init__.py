"""What is kept on disk: rows of numbers, found by the content of an image, for all runs and all processes."""
