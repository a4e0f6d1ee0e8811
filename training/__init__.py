"""Train networks, from ImageNet to a weights file.

Holds the definition of the architecture, the transfer of published weights, training
and export. Run it from a checkout with ``python -m training``. No other package
imports TensorFlow.
"""
