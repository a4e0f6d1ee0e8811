"""From ImageNet to a weights file: definition, transfer, export. Run from a checkout: ``python -m training``."""
