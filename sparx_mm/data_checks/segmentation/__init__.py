"""Segmentation sets: folders of images and label maps."""
