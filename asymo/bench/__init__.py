"""asymo-bench: measuring models, comparing runtimes, the demo. Sits on top of everything; nothing imports it."""
