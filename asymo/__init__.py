"""Asymo runs ONNX models on CPUs whose cores are unequal."""

__version__ = "0.1.0"
