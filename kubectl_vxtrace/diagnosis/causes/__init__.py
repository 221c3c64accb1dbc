"""The known causes, by the place where packets die; each question has its module, each cause its page beside it."""
