"""The graders that ship with evalkit, registered by entry point like anybody else's."""
