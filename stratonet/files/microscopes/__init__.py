"""Files of microscopes that hold several images: what is in them, and its planes."""
