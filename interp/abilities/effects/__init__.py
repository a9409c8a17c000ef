"""Effects: what an edit did beside what it was made for."""
