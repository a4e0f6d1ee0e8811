"""From ImageNet to a weights file.

The definition of the architecture, the transfer of published weights, training and
export. Run from a checkout: ``python -m training``. TensorFlow is imported here and
nowhere else.
"""
