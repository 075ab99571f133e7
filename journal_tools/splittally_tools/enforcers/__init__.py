"""What an author of enforcers works with: a folder, its build, its cases, and what they must show."""
