"""Detection sets in COCO's format."""
