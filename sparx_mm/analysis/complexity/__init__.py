"""Multiply-adds and parameters of a model, part by part."""
