"""From ImageNet to a weights file.

Definition, transfer, export. Run from a checkout: ``python -m training``.
"""
