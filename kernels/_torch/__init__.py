"""Plain torch forms that the operators share."""
