"""Moving: abilities taken out of a model as a file and added to another, streamed."""
