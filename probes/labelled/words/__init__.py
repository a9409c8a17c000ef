"""The words that the generators put together: facts, homographs with their cues, small lexicons."""
