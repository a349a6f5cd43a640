"""What must not leave: personal data, keys, texts of others, the prompt; and links that lead elsewhere."""

from evalkit_graders.safety.grader import Safety

__all__ = ["Safety"]
