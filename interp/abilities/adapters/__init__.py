"""Adapters: ability weights as a PEFT LoRA adapter, and what the low rank costs."""
