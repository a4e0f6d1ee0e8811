"""Microscope files that hold several images: list the images and read their planes."""
