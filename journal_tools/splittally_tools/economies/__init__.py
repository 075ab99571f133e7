"""Small economies that run: a file says what is asked, a transcript shows what came of it."""
