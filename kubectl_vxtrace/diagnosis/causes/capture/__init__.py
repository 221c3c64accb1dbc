"""What is said where nothing was proven."""
