"""Ways to describe a feature: `rule` works offline; `endpoint` asks a language model when told."""
