"""Printed tables of papers beside this package's own counts."""
