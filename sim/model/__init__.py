"""The naive models: plain, slow, obviously right, sharing nothing with the C they judge."""
