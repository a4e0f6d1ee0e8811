"""Sources of image sets: tables, folders and the plates of the cellpainting-gallery."""
